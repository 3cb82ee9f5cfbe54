package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestAnObjectComesApartVerbatim(t *testing.T) {
	t.Parallel()
	text := "\r\n\t {\"a\" : 1.50e+2 , \"b\\u0062\":[ 1, {\"x\":null} ],\"\":\"\", \"n\": 123456789012345678901234567890,\"s\":\"\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\u2028é\"} "
	members, err := ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range members {
		got[m.Name] = string(m.Value)
	}
	want := map[string]string{
		"a": "1.50e+2", "bb": `[ 1, {"x":null} ]`, "": `""`, "n": "123456789012345678901234567890",
		"s": "\"\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\u2028é\"",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error("members (-want +got):\n" + d)
	}
	if got, want := members[len(members)-1].Value.Text(), "😀 \"\\/\b\f\n\r\t\u2028é"; got != want {
		t.Errorf("text of s: got %q, want %q", got, want)
	}
}

func TestWhatIsNoObjectIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth)
	for text, want := range map[string]string{
		``:                         `the body is not valid JSON at line 1, byte 1: a JSON object is wanted, beginning with {`,
		`[]`:                       `the body is not valid JSON at line 1, byte 1: a JSON object is wanted, beginning with {`,
		"\ufeff{}":                 `the body is not valid JSON at line 1, byte 1: a JSON object is wanted, beginning with {`,
		`{`:                        `the body is not valid JSON at line 1, byte 2: the text ends where a name in double quotes is wanted`,
		`{"a"}`:                    `the body is not valid JSON at line 1, byte 5: '}' stands where a colon is wanted`,
		"{\"a\":1,\n \"b\":}":      `b is not valid JSON at line 2, byte 6: '}' stands where a value is wanted`,
		`{"a":1,}`:                 `the body is not valid JSON at line 1, byte 8: '}' stands where a name in double quotes is wanted`,
		`{"a":1 "b":2}`:            `the body is not valid JSON at line 1, byte 8: '"' stands where a comma or } is wanted`,
		`{'a':1}`:                  `the body is not valid JSON at line 1, byte 2: '\'' stands where a name in double quotes is wanted`,
		`{"a":[1,]}`:               `a[1] is not valid JSON at line 1, byte 9: ']' stands where a value is wanted`,
		`{"a":[1}`:                 `a is not valid JSON at line 1, byte 8: '}' stands where a comma or ] is wanted`,
		`{"a":01}`:                 `the body is not valid JSON at line 1, byte 7: '1' stands where a comma or } is wanted`,
		`{"a":-}`:                  `a is not valid JSON at line 1, byte 7: '}' stands where a digit is wanted`,
		`{"a":1.}`:                 `a is not valid JSON at line 1, byte 8: '}' stands where a digit is wanted`,
		`{"a":1e+}`:                `a is not valid JSON at line 1, byte 9: '}' stands where a digit is wanted`,
		`{"a":.5}`:                 `a is not valid JSON at line 1, byte 6: '.' stands where a value is wanted`,
		`{"a":nul}`:                `a is not valid JSON at line 1, byte 6: 'n' stands where a value is wanted`,
		`{"a":NaN}`:                `a is not valid JSON at line 1, byte 6: 'N' stands where a value is wanted`,
		`{"a":"`:                   `a is not valid JSON at line 1, byte 7: the text ends inside a string`,
		"{\"a\":\"\n\"}":           `a is not valid JSON at line 1, byte 7: a control character stands in a string; write it as \u000a`,
		"{\"a\":\"\x00\"}":         `a is not valid JSON at line 1, byte 7: a control character stands in a string; write it as \u0000`,
		`{"a":"\x"}`:               `a is not valid JSON at line 1, byte 7: a backslash begins no escape that JSON knows; write it as \\`,
		`{"a":"\u12g4"}`:           `a is not valid JSON at line 1, byte 7: a backslash begins no escape that JSON knows; write it as \\`,
		`{"a":{"b":["x\ud83d"]}}`:  `a.b[0] is not valid JSON at line 1, byte 14: \ud83d is half of a character; was the text cut there?`,
		`{"a":"\ude00"}`:           `a is not valid JSON at line 1, byte 7: \ude00 is half of a character; was the text cut there?`,
		"{\"a\":\"\xff\"}":         `the body is not valid JSON at line 1, byte 7: this byte is not UTF-8`,
		"{\"é\":\"\xed\xa0\x80\"}": `the body is not valid JSON at line 1, byte 8: this byte is not UTF-8`,
		`{} {}`:                    `the body is not valid JSON at line 1, byte 4: something follows the JSON object`,
		"{}\x00":                   `the body is not valid JSON at line 1, byte 3: something follows the JSON object`,
		`{"a":1,"\u0061":2}`:       `a is given twice in one object; give it once`,
		`{"m":[{"x":1},{"x":{"y":1,"z":1,"y":1}}]}`: `m[1].x.y is given twice in one object; give it once`,
		`{"a":` + deep + strings.Repeat("]", maxDepth) + `}`: `a` + strings.Repeat("[0]", 66) + `[…` +
			` is not valid JSON at line 1, byte 105: arrays and objects stand more than 100 deep in each other`,
	} {
		_, err := ParseObject([]byte(text))
		if err == nil {
			t.Errorf("%q was taken", text)
			continue
		}
		if got := err.Error(); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestNestingUpToTheBoundIsTaken(t *testing.T) {
	t.Parallel()
	text := `{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`
	if _, err := ParseObject([]byte(text)); err != nil {
		t.Error(err)
	}
}

// If the scanner accepts a text, encoding/json accepts it too, and reads the same from it;
// if the scanner rejects it, encoding/json rejects it too, or we have a reason.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":[1,-0.5e-7,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":{}}} `, `{"a":1,"a":2}`, `{"a":"\ud800"}`,
		`{"prompt":"Hi","callback_url":"https://example.com/hook"}`, `{"a":[}`, `{"\u0000":""}`, `[1]`, "{\"a\":\"\xc3\x28\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		members, err := ParseObject(text)
		if err != nil {
			if utf8.Valid(text) && json.Valid(text) && !ours(err) {
				t.Fatalf("%q is JSON, but: %v", text, err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%q was taken, but: %v", text, err)
		}
		if len(members) != len(want) {
			t.Fatalf("%q: %d members, want %d", text, len(members), len(want))
		}
		for _, m := range members {
			if !bytes.Equal(m.Value, want[m.Name]) {
				t.Fatalf("%q: member %q is %q, want %q", text, m.Name, m.Value, want[m.Name])
			}
			if m.Value.Type() == TypeString {
				var s string
				if err := json.Unmarshal(m.Value, &s); err != nil || s != m.Value.Text() {
					t.Fatalf("%q: text %q, want %q", text, m.Value.Text(), s)
				}
			}
		}
		checkCanonical(t, text)
	})
}

// ours reports whether encoding/json accepts what we reject.
func ours(err error) bool {
	for _, reason := range []string{
		"twice in one object", "deep in each other", "half of a character", "a JSON object is wanted",
	} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

// BenchmarkDecode reads the body of a request: a question, a page, a book, a program.
// encoding/json, which is less strict, is the baseline.
