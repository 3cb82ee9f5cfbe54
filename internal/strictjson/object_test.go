package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzQuote checks that quote is an encoder of encoding/json.
func FuzzQuote(f *testing.F) {
	for c := range 128 {
		f.Add("a" + string(rune(c)) + "b")
	}
	f.Add("\u2027\u2028\u2029\u202A é 🌍 \uFFFD \u0085")
	f.Add("\xff\xff\xe2\x80 \xed\xa0\x80 \xe2")
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(strings.ToValidUTF8(s, "\uFFFD")); err != nil {
			t.Fatal(err)
		}
		if got := Quote(s); string(got)+"\n" != want.String() {
			t.Fatalf("%q: got %s, want %s", s, got, want.String())
		}
	})
}
