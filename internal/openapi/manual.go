package openapi

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ringback/ringback/docs"
)

// A manual is the content of docs/, by heading.
type manual map[string]*section

// A section is the content under a heading, up to the next one.
type section struct {
	prose    string
	tables   []table
	examples []example // of JSON, in order
}

// A table is its rows; the first one is the header.
type table [][]string

// An example is a body: a fenced block of JSON, marked with its kind, or what a curl sends.
type example struct {
	kind string
	body json.RawMessage
}

const preface = "" // the heading of the text before the first one

func readManual() manual {
	m := manual{}
	for _, text := range []string{docs.API, docs.Webhooks} {
		m.read(text)
	}
	return m
}

func (m manual) read(text string) {
	s := &section{}
	if m[preface] == nil {
		m[preface] = s
	}
	language, fence := "", []string(nil)
	var prose []string
	inFence, inTable := false, false
	end := func() { s.prose = paragraphs(prose) }
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		mark, isMark := strings.CutPrefix(line, "```")
		wasTable := inTable
		inTable = false
		switch {
		case isMark && inFence:
			s.example(language, strings.Join(fence, "\n"))
			inFence = false
		case isMark:
			language, fence, inFence = mark, nil, true
		case inFence:
			fence = append(fence, line)
		case strings.HasPrefix(line, "# "):
		case strings.HasPrefix(line, "#"):
			end()
			prose, s = nil, &section{}
			m[strings.TrimLeft(line, "# ")] = s
		case strings.HasPrefix(line, "|---"):
			inTable = true
		case strings.HasPrefix(line, "|"):
			s.row(line, !wasTable)
			inTable = true
		default:
			prose = append(prose, line)
		}
	}
	end()
}

func (s *section) row(line string, first bool) {
	if first {
		s.tables = append(s.tables, table{})
	}
	cells := strings.Split(strings.Trim(line, "| "), " | ")
	for i := range cells {
		cells[i] = withoutLinks(strings.Trim(cells[i], "| "))
	}
	last := &s.tables[len(s.tables)-1]
	*last = append(*last, cells)
}

var curlBody = regexp.MustCompile(`(?s)-d '([^']*)'`)

func (s *section) example(language, text string) {
	name, kind, _ := strings.Cut(language, " ")
	switch name {
	case "json":
		s.examples = append(s.examples, example{kind, json.RawMessage(text)})
	case "sh":
		for _, sent := range curlBody.FindAllStringSubmatch(text, -1) {
			s.examples = append(s.examples, example{"request", json.RawMessage(sent[1])})
		}
	}
}

var (
	link  = regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)
	blank = regexp.MustCompile(`\n{2,}`)
)

// paragraphs joins lines, without the paragraphs that introduce something other than prose.
func paragraphs(lines []string) string {
	var kept []string
	for _, p := range blank.Split(strings.TrimSpace(strings.Join(lines, "\n")), -1) {
		if !strings.HasSuffix(p, ":") {
			kept = append(kept, p)
		}
	}
	return withoutLinks(strings.Join(kept, "\n\n"))
}

// withoutLinks removes links that only work within the docs.
func withoutLinks(text string) string {
	return link.ReplaceAllStringFunc(text, func(found string) string {
		m := link.FindStringSubmatch(found)
		if strings.HasPrefix(m[2], "https://") {
			return found
		}
		return m[1]
	})
}

var backticked = regexp.MustCompile("`([^`]+)`")

// words returns what the tables that have a column of that title say about each word in it:
// the following cells of its row.
func (s *section) words(title string) (names []string, said map[string][]string) {
	said = map[string][]string{}
	for _, t := range s.tables {
		at := slices.Index(t[0], title)
		for _, row := range t[1:] {
			if at < 0 || at >= len(row) {
				continue
			}
			for _, m := range backticked.FindAllStringSubmatch(row[at], -1) {
				names = append(names, m[1])
				said[m[1]] = row[at+1:]
			}
		}
	}
	return names, said
}

// last returns the last of a row's cells: the description.
func last(cells []string) string {
	if len(cells) == 0 {
		return ""
	}
	return cells[len(cells)-1]
}

// at returns the section under a heading; an empty one if there is none.
func (m manual) at(heading string) *section {
	if s := m[heading]; s != nil {
		return s
	}
	return new(section)
}

// of returns the section's examples of a kind.
func (s *section) of(kind string) []json.RawMessage {
	var found []json.RawMessage
	for _, e := range s.examples {
		if e.kind == kind {
			found = append(found, e.body)
		}
	}
	return found
}

// examples returns those of a kind in s or, if it has none, anywhere.
func (m manual) examples(s *section, kind string) []json.RawMessage {
	found := s.of(kind)
	for _, heading := range slices.Sorted(maps.Keys(m)) {
		if len(found) == 0 {
			found = m[heading].of(kind)
		}
	}
	return found
}

// parameter returns the description of a parameter in s or, if there is none, in the
// section about lists.
func (m manual) parameter(s *section, name string) string {
	for _, in := range []*section{s, m.at("`GET /api/jobs`")} {
		if _, said := in.words("parameter"); said[name] != nil {
			return last(said[name])
		}
	}
	return ""
}
