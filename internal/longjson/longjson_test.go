package longjson_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/longjson"
)

// encoded returns what encoding/json writes.
func encoded(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func written(t testing.TB, v longjson.Value) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Write(&b); err != nil {
		t.Fatal(err)
	}
	if n, err := v.Len(); err != nil || n != int64(b.Len()) {
		t.Errorf("Len: got %d, %v; %d bytes were written", n, err, b.Len())
	}
	return b.String()
}

func FuzzTextIsWrittenAsEncodingJSONWritesIt(f *testing.F) {
	for _, text := range []string{"", "plain", "\"\\\b\f\n\r\t\x00\x1f\x7f<>&", "ü€😀\u2028\u2029\ufffd", "\xff\xe2\x80", strings.Repeat("€\n", 20_000)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := written(t, longjson.Text(text)), encoded(t, string(text)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func FuzzStringsAreJoinedAsTheirTextIs(f *testing.F) {
	for _, text := range []string{`"plain"`, `"\"\\\/\b\f\n\r\t\u0000\u001f<>&"`, `"\u00fc\u20ac\ud83d\ude00\u2028"`, `"\ud83d"`, `"\ud83d\n"`, `"\ud83dA"`, `"\ude00\ud83d"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.TrimSpace(text)
		if !json.Valid(text) || text[0] != '"' || !utf8.Valid(text) { // half a character may be completed by the next string
			t.Skip()
		}
		want := encoded(t, gjson.ParseBytes(text).Str+gjson.ParseBytes(text).Str)
		if got := written(t, longjson.Joined(slices.Values([][]byte{text, text}))); got != want {
			t.Errorf("%s twice: got %s, want %s", text, got, want)
		}
	})
}

func FuzzObjectsTakeLongValues(f *testing.F) {
	f.Add([]byte(` { "a" : [ 1, "x y" ], "b" : "\"" }`))
	f.Add([]byte(`"a \" b"`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if !json.Valid(value) {
			t.Skip()
		}
		type object struct {
			First  string          `json:"first"`
			Long   json.RawMessage `json:"long"`
			Nested map[string]int  `json:"nested"`
			Last   string          `json:"last"`
		}
		o := object{First: `"long":0`, Long: json.RawMessage("0"), Nested: map[string]int{"long": 1}, Last: "x"}
		got := written(t, longjson.Object([]byte(encoded(t, o)), map[string]longjson.Value{"long": longjson.Compact(value), "other": {}}))
		o.Long = value
		if want := encoded(t, o); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
