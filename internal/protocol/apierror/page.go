package apierror

import (
	"bytes"
	"cmp"
	"html"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ringback/ringback/internal/strictjson"
)

var (
	titleOf   = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	headingOf = regexp.MustCompile(`(?is)<h[1-3][^>]*>(.*?)</h[1-3]>`)
	unseen    = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)>|<!--.*?-->`)
	tag       = regexp.MustCompile(`(?s)<[^>]*>`)
)

// plainReason returns the reason in a body of no protocol: the title of a page, or the
// first line of a text; "" if it has none.
func plainReason(body []byte) string {
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	switch strictjson.FirstByte(body) {
	case '{', '[':
		if strictjson.Valid(body) { // JSON in another form is not text for people
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

// withoutTags returns the text of a piece of HTML, in which line ends are mere spaces.
func withoutTags(piece string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(piece, " "))), " ")
}

// firstLine returns the first line that has text, cut.
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

// ReadPlain reads a refusal that is not in the form of a protocol: a page, a line
// of text, or nothing.
func ReadPlain(status int, body []byte) Error {
	reason := plainReason(body)
	c := Error{Message: cmp.Or(reason, strings.ToLower(http.StatusText(status))), header: http.Header{}}
	c.findSubject(status, nil)
	switch {
	case status/100 == 3:
		c.Message = "a redirect, which is not followed; the provider's base_url should name the right address"
	case status == http.StatusNotFound:
		c.NamesModel = false // a wrong address has no models
		c.Message = "not found, and the response is not in its protocol; is the provider's base_url right?"
		if reason != "" {
			c.Message += " It says: " + reason
		}
	case status == http.StatusForbidden && c.Subject == "" && reason != "":
		c.Subject = AboutRequest // a firewall's page: a provider that refuses a key does so in its protocol
	}
	return c
}
