package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestSpellingsOfOneBodyShareACanonicalForm(t *testing.T) {
	t.Parallel()
	want := `{"a":[1,{"x":"é\"\u000a/","y":{}}],"b":[],"c":1}`
	for _, text := range []string{
		want,
		"\n{ \"c\" : 1.0,\t\"b\":[ ], \"a\":[ 1 , { \"y\":{ } , \"x\" : \"\\u00e9\\u0022\\n\\/\" } ] }\n",
		`{"\u0061":[10e-1,{"y":{},"x":"é\"\n/"}],"b":[],"c":1.0,"gone":null}`,
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
		``, `{}`, `{"a":1}`, `{"a":1.01}`, `{"a":-1}`, `{"a":10}`, `{"a":1e99999999999}`, `{"a":1e99999999998}`, `{"a":"1"}`, `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":{"b":null}}`, `{"a":{}}`,
		`{"a":true}`, `{"b":true}`, `{"a":" "}`, `{"a":"  "}`, `{"a":[]}`, `{"a":[[]]}`, `{"a":"\\u0061"}`, `{"a":"a"}`,
	} {
		canonical := string(appendCanonical(nil, []byte(text)))
		if other, ok := seen[canonical]; ok {
			t.Errorf("%s and %s are both %s", text, other, canonical)
		}
		seen[canonical] = text
	}
}

// appendCanonical appends what WriteCanonical writes.
func appendCanonical(dst, text []byte) []byte {
	out := bytes.NewBuffer(dst)
	WriteCanonical(out, text)
	return out.Bytes()
}

func TestALargeBodyHasTheCanonicalFormOfASmallOne(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := append(append([]byte(`{"z":null,"more":`), randomValue(random, 6)...), `, "a" : "`...)
		text = append(bytes.Join([][]byte{text, bytes.Repeat([]byte(`\u0041"`[:6]), random.IntN(4000)), []byte(`"}`)}, nil), ' ')
		if _, err := ParseObject(text); err != nil {
			t.Fatal(err)
		}
		small := ordered{scanner: scanner{text: text}, top: 1}
		small.value()
		if got := appendCanonical(nil, text); !bytes.Equal(got, small.out) {
			t.Fatalf("of %d bytes: the forms differ:\n%.500s\n%.500s", len(text), got, small.out)
		}
	}
}

// randomValue returns a JSON value of any size.
func randomValue(random *rand.Rand, depth int) []byte {
	kind := random.IntN(6)
	if depth == 0 {
		kind = random.IntN(4)
	}
	n := random.IntN(9)
	switch kind {
	case 0:
		return []byte([]string{"null", "true", "-1.50e3", "12"}[random.IntN(4)])
	case 1, 2, 3:
		return fmt.Appendf(nil, "%q", bytes.Repeat([]byte("x é\n"), random.IntN(1+100*n)))
	case 4:
		out := []byte("[ ")
		for i := range n {
			out = append(out, ", "[:2*min(i, 1)]...)
			out = append(out, randomValue(random, depth-1)...)
		}
		return append(out, " ]"...)
	default:
		out := []byte("{")
		for i := range n {
			out = append(out, ", "[:2*min(i, 1)]...)
			out = fmt.Appendf(out, "\"\\u00%02x%d\" :", 0x30+random.IntN(0x40), i)
			out = append(out, randomValue(random, depth-1)...)
		}
		return append(out, "}\t"...)
	}
}

// checkCanonical holds for every text that the scanner accepts.
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

// meaning returns what encoding/json reads, without nulls at the top.
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
			continue
		}
		m[name] = valued(v)
	}
	return m
}

// valued replaces the spelling of each number with its value.
func valued(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = valued(v[name])
		}
	case []any:
		for i := range v {
			v[i] = valued(v[i])
		}
	case json.Number:
		if f, _, err := big.ParseFloat(v.String(), 10, 4096, big.ToNearestEven); err == nil {
			return f.Text('g', 1000)
		}
	}
	return v
}

func TestSpellingsOfOneNumberAreOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1": "1", "1.0": "1", "1e0": "1", "10E-1": "1", "0.1e+1": "1", "100": "100", "1e2": "100", "1.50e1": "15",
		"0": "0", "-0": "0", "0.0": "0", "0e99": "0", "-0.0e-5": "0", "-1.0": "-1",
		"0.7": "0.7", "0.70": "0.7", "7e-1": "0.7", "12.340": "12.34", "0.0001": "0.0001", "1E-4": "0.0001",
		"12345678901234567890.5": "12345678901234567890.5", "1e400": "1e400", "10e399": "1e400", "1e-400": "1e-400",
		"1e99999999999": "1e99999999999",
	} {
		if got := string(appendCanonical(nil, []byte(`{"n":`+text+`}`))); got != `{"n":`+want+`}` {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// BenchmarkCanonical measures what an idempotency key costs a large request: its body is
// made canonical before it is hashed.
func BenchmarkCanonical(b *testing.B) {
	body := []byte(`{"prompt":"` + string(bytes.Repeat([]byte(`line\n`), 200<<10)) + `","callback_url":"https://example.com/hook"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		appendCanonical(make([]byte, 0, len(body)), body)
	}
}
