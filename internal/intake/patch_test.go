package intake

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// The examples of RFC 7396, appendix A.
func TestMergePatch(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Members that the patch does not name stay as they were written.
		{`{"n":1.50e2, "a.b":"\u00e9 <", "*":12345678901234567890}`, `{"a":1}`, `{"n":1.50e2,"a.b":"\u00e9 <","*":12345678901234567890,"a":1}`},
	} {
		if got := string(mergePatch([]byte(c[0]), []byte(c[1]))); got != c[2] {
			t.Errorf("%s patched by %s: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// mergeDecoded is the pseudo code of RFC 7396, section 2, on decoded values.
func mergeDecoded(target, patch any) any {
	change, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged, ok := target.(map[string]any)
	if !ok {
		merged = map[string]any{}
	}
	for name, value := range change {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = mergeDecoded(merged[name], value)
		}
	}
	return merged
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1,"c":[2]},"d":null}`), []byte(`{"a":{"b":null,"e":{"f":null}}}`))
	f.Add([]byte(`{"model":"a","messages":[{"role":"user","content":"<\u2028>"}]}`), []byte(`{"model":"b","max_tokens":1e3}`))
	f.Add([]byte(`[]`), []byte(`{"":{}}`))
	f.Fuzz(func(t *testing.T, document, patch []byte) {
		var target, change any
		if json.Unmarshal(document, &target) != nil || json.Unmarshal(patch, &change) != nil || repeats(document) || repeats(patch) {
			return // the API refuses these
		}
		merged := mergePatch(document, patch)
		var got any
		if err := json.Unmarshal(merged, &got); err != nil {
			t.Fatalf("%s patched by %s is no JSON: %s", document, patch, merged)
		}
		if want := mergeDecoded(target, change); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s patched by %s: got %s, want %v", document, patch, merged, want)
		}
	})
}

// repeats reports whether an object has a name twice, or is not valid UTF-8: both change
// when it is decoded and encoded.
func repeats(text []byte) bool {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return true
	}
	again, err := json.Marshal(v)
	return err != nil || len(names(text)) != len(names(again))
}

// names returns all names of all objects, and all strings.
func names(text []byte) (all []string) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return all
		}
		if s, ok := token.(string); ok {
			all = append(all, s)
		}
	}
}
