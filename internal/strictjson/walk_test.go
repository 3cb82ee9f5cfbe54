package strictjson

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// FuzzPairs checks that objects and arrays are taken apart as gjson does it, and that
// garbage causes no panic.
func FuzzPairs(f *testing.F) {
	for _, text := range []string{
		``, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `{"a":}`, `{:1}`, `{1:1}`, `[`, `["`, `[]`, `{}`, ` { "a" : 1 , "b\"" : [ "]" , {"}":"\\"} ] } `,
		`{"\u0061":1,"a":-1.5e3,"a":null}`, `["\"", true,false,null,[[]],{}]`, `1`, `"{"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := []string{}
		for p := range Members(text) {
			got = append(got, string(p.Key), string(p.Name), string(p.Value))
		}
		for item := range Elements(text) {
			got = append(got, string(item))
		}
		if !json.Valid(text) {
			return
		}
		want := []string{}
		if whole := gjson.ParseBytes(text); whole.IsObject() || whole.IsArray() {
			whole.ForEach(func(key, value gjson.Result) bool {
				if whole.IsObject() {
					want = append(want, key.Raw, key.Str)
				}
				want = append(want, value.Raw)
				return true
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", text, diff)
		}
	})
}
