// Package plain writes values as plain text: text that is safe to show, hosts, durations and
// times. All is in this file.
package plain

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ringback/ringback"
)

// Printable returns s with escapes for the characters that control a terminal, except for
// newlines and tabs.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// OneLine returns s as one line that is safe to print.
func OneLine(s string) string { return Printable(strings.Join(strings.Fields(s), " ")) }

// Cut shortens s to at most most characters.
func Cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// Wrap breaks a text at its spaces into lines of at most width characters.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// HostOf returns a URL without its path, which may contain a secret.
func HostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// plainInShell are the characters that have no meaning to a shell.
const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=.:,"

// ShellQuote returns s as one word for a shell.
func ShellQuote(s string) string {
	if s != "" && strings.Trim(s, plainInShell) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Span formats a duration with about two digits.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	count := func(unit time.Duration) int { return int(d.Round(unit) / unit) }
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", count(time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", count(time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%d h", count(time.Hour))
	}
	return fmt.Sprintf("%d d", count(day))
}

// Millis formats a duration in milliseconds as Span does.
func Millis(ms int64) string { return Span(time.Duration(ms) * time.Millisecond) }

// Clock formats a time in the local zone, with the date unless it is today.
func Clock(t ringback.Time, now time.Time) string {
	local, layout := t.Local(), time.TimeOnly
	if y, m, d := local.Date(); y != now.Local().Year() || m != now.Local().Month() || d != now.Local().Day() {
		layout = time.DateTime
	}
	return local.Format(layout)
}

// When formats a time and how far it is from now.
func When(t ringback.Time, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return fmt.Sprintf("at %s, in %s", Clock(t, now), Span(d))
	}
	return fmt.Sprintf("at %s, %s ago", Clock(t, now), Span(now.Sub(t.Time)))
}
