package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

func TestSpellingsOfOneBodyShareACanonicalForm(t *testing.T) {
	t.Parallel()
	want := `{"a":[1,{"x":"é\"\u000a/","y":{}}],"b":[],"c":1.0}`
	for _, text := range []string{
		want,
		"\n{ \"c\" : 1.0,\t\"b\":[ ], \"a\":[ 1 , { \"y\":{ } , \"x\" : \"\\u00e9\\u0022\\n\\/\" } ] }\n",
		`{"\u0061":[1,{"y":{},"x":"é\"\n/"}],"b":[],"c":1.0,"gone":null}`,
	} {
		if got := string(appendCanonical(nil, []byte(text))); got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestDifferentBodiesStayDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, text := range []string{
		``, `{}`, `{"a":1}`, `{"a":1.0}`, `{"a":"1"}`, `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":{"b":null}}`, `{"a":{}}`,
		`{"a":true}`, `{"b":true}`, `{"a":" "}`, `{"a":"  "}`, `{"a":[]}`, `{"a":[[]]}`, `{"a":"\\u0061"}`, `{"a":"a"}`,
	} {
		canonical := string(appendCanonical(nil, []byte(text)))
		if other, ok := seen[canonical]; ok {
			t.Errorf("%s and %s are both %s", text, other, canonical)
		}
		seen[canonical] = text
	}
}

// checkCanonical holds for every text that the scanner takes.
func checkCanonical(t *testing.T, text []byte) {
	t.Helper()
	once := appendCanonical(nil, text)
	if twice := appendCanonical(nil, once); !bytes.Equal(once, twice) {
		t.Fatalf("%q: canonical form %q has the canonical form %q", text, once, twice)
	}
	if want, got := meaning(t, text), meaning(t, once); !reflect.DeepEqual(want, got) {
		t.Fatalf("%q means %v, its canonical form %q means %v", text, want, once, got)
	}
}

// meaning is what encoding/json reads, without nulls at the top.
func meaning(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	m := map[string]any{}
	if err := d.Decode(&m); err != nil {
		t.Fatal(fmt.Errorf("%q: %w", text, err))
	}
	for name, v := range m {
		if v == nil {
			delete(m, name)
		}
	}
	return m
}

// BenchmarkCanonical is what an idempotency key costs a large request: its body is
// brought into one form before it is hashed.
func BenchmarkCanonical(b *testing.B) {
	body := []byte(`{"prompt":"` + string(bytes.Repeat([]byte(`line\n`), 200<<10)) + `","callback_url":"https://example.com/hook"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		appendCanonical(make([]byte, 0, len(body)), body)
	}
}
