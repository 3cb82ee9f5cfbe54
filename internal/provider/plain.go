package provider

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	titleOf   = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	headingOf = regexp.MustCompile(`(?is)<h[1-3][^>]*>(.*?)</h[1-3]>`)
	unseen    = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)>|<!--.*?-->`)
	tag       = regexp.MustCompile(`(?s)<[^>]*>`)
)

// plainReason is the reason that a body without the words of a protocol gives: the
// title of a page, or the first line of a text; "" if it has none.
func plainReason(body []byte) string {
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	switch firstByte(body) {
	case '{', '[':
		if valid(body) { // JSON of another form says nothing to people
			return ""
		}
	case '<':
		return reasonOfPage(string(body))
	}
	return firstLine(string(body))
}

func reasonOfPage(page string) string {
	for _, part := range []*regexp.Regexp{titleOf, headingOf} {
		for _, found := range part.FindAllStringSubmatch(page, -1) {
			if text := firstLine(withoutTags(found[1])); text != "" {
				return text
			}
		}
	}
	return firstLine(withoutTags(unseen.ReplaceAllString(page, " ")))
}

// withoutTags is the text of a piece of HTML, in which line ends are mere spaces.
func withoutTags(piece string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(piece, " "))), " ")
}

// firstLine is the first line that has text, cut.
func firstLine(text string) string {
	const longest = 300 // bytes
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && strings.Trim(line, "\x00") != "" {
			if len(line) > longest {
				line = strings.ToValidUTF8(line[:longest], "") + "…"
			}
			return line
		}
	}
	return ""
}
