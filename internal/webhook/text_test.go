package webhook

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"OK":                            "OK",
		"Grüße 👋":                       "Grüße 👋",
		" a\r\nb\tc\x00d\x1b[31m\x7f ":  "a  b c d [31m",
		"a\u202eb\u2028c\u200bd\ue000e": "a b c d e",
		"a\xff\xc3":                     "a\uFFFD\uFFFD",
		strings.Repeat("a", 2000):       strings.Repeat("a", 1024),
		strings.Repeat("ü", 600):        strings.Repeat("ü", 512),
		"a" + strings.Repeat("ü", 600):  "a" + strings.Repeat("ü", 511),
		strings.Repeat("\xff", 1024):    strings.Repeat("\uFFFD", 341),
	} {
		if got := text([]byte(in)); got != want {
			t.Errorf("text(%.40q): got %.80q, want %.80q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a\r\n\xff\u202e"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := text(in)
		if len(got) > 1024 || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("text(%q) = %q", in, got)
		}
	})
}
