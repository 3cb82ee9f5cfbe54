package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// fence is a block of code.
type fence struct {
	language, kind string // the words behind the opening ```
	text           string
}

func fences(doc string) []fence {
	var all []fence
	var open *fence
	for line := range strings.Lines(doc) {
		marker, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case !isFence && open != nil:
			open.text += line
		case !isFence:
		case open == nil:
			language, kind, _ := strings.Cut(marker, " ")
			open = &fence{language: language, kind: kind}
		default:
			all = append(all, *open)
			open = nil
		}
	}
	return all
}

// prose returns a document without its blocks of code.
func prose(doc string) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(doc) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
		} else if !inside {
			out.WriteString(line)
		}
	}
	return out.String()
}

var (
	inlineLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	imageTag   = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
)

func links(text string) []string {
	var targets []string
	for _, pattern := range []*regexp.Regexp{inlineLink, imageTag} {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			targets = append(targets, m[1])
		}
	}
	return targets
}

var headingLine = regexp.MustCompile(`(?m)^(#+) (.+)$`)

// anchors returns the names that headings have in links.
func anchors(doc string) []string {
	var all []string
	for _, m := range headingLine.FindAllStringSubmatch(prose(doc), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[2]))
	}
	return all
}

// section returns the text under a heading, up to the next heading of any level.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	text := prose(read(t, doc))
	found := headingLine.FindAllStringSubmatchIndex(text, -1)
	for i, m := range found {
		if text[m[4]:m[5]] != heading {
			continue
		}
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		return text[m[1]:end]
	}
	t.Fatalf("%s has no heading %q", doc, heading)
	return ""
}

var backticked = regexp.MustCompile("`([^`]+)`")

// firstColumn returns the text in backticks in the first column of the tables whose first
// column has that title.
func firstColumn(section, title string) []string {
	var words []string
	inside := false
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.TrimSpace(cells[0]) != "" {
			inside = false
			continue
		}
		first := strings.TrimSpace(cells[1])
		if first == title {
			inside = true
			continue
		}
		if inside {
			for _, m := range backticked.FindAllStringSubmatch(first, -1) {
				words = append(words, m[1])
			}
		}
	}
	return words
}

// curl is one call of curl in a block of code.
type curl struct {
	line, method, url, body string
}

var (
	curlURL    = regexp.MustCompile(`'?"?(http://127\.0\.0\.1:8080[^\s'"]*)`)
	curlMethod = regexp.MustCompile(`(?:-X|--request) ([A-Z]+)`)
	curlBody   = regexp.MustCompile(`(?s)(?:-d|--data) '([^']*)'`)
)

func curls(code string) []curl {
	var all []curl
	code = strings.ReplaceAll(code, "\\\n", " ")
	for _, line := range commands(code) {
		at := slices.Index(strings.Fields(line), "curl")
		if at < 0 {
			continue
		}
		c := curl{line: strings.TrimSpace(line), method: "GET"}
		if m := curlBody.FindStringSubmatch(line); m != nil {
			c.method, c.body = "POST", m[1]
			line = strings.Replace(line, m[0], "", 1) // it contains URLs too
		}
		if m := curlMethod.FindStringSubmatch(line); m != nil {
			c.method = m[1]
		}
		if m := curlURL.FindStringSubmatch(line); m != nil {
			c.url = m[1]
		}
		all = append(all, c)
	}
	return all
}

// commands cuts code into lines; an open quote continues over several.
func commands(code string) []string {
	var all []string
	for line := range strings.Lines(code) {
		if last := len(all) - 1; last >= 0 && strings.Count(all[last], "'")%2 == 1 {
			all[last] += line
		} else {
			all = append(all, line)
		}
	}
	return all
}
