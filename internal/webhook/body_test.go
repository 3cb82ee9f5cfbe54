package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// JavaScript's output for each input; JavaScript itself is asked too, except for the
// exceptions.
var canonicalCases = []struct {
	name, in, want string
	exception      bool // JavaScript would change it
}{
	{name: "nothing to change", in: `{"a":[1,2.5,"x",true,false,null,{}],"b":[]}`, want: `{"a":[1,2.5,"x",true,false,null,{}],"b":[]}`},
	{name: "space between tokens", in: " {\n\t\"a\" : [ 1 , 2 ] , \"b\" : { } , \"c\" : [ ] } \r\n", want: `{"a":[1,2],"b":{},"c":[]}`},
	{name: "space at the end alone", in: "[1]\n", want: `[1]`},
	{name: "HTML", in: `"\u003cb\u003e \u0026 \/ </b>"`, want: `"<b> & / </b>"`},
	{name: "line separators", in: `"\u2028\u2029"`, want: "\"\u2028\u2029\""},
	{name: "short escapes", in: `"\u0008\u0009\u000a\u000c\u000d\u0022\u005c \b\t\n\f\r\"\\"`, want: `"\b\t\n\f\r\"\\ \b\t\n\f\r\"\\"`},
	{name: "other controls", in: `"\u0000\u000B\u001F\u007f"`, want: `"\u0000\u000b\u001f` + "\x7f" + `"`},
	{name: "letters as escapes", in: `"\u0061\u00FC\u20AC"`, want: `"aü€"`},
	{name: "a surrogate pair", in: `"\ud83d\uDC4B"`, want: `"👋"`},
	{name: "lone surrogates", in: `"\uD83D \uDC4B\uD83D\uD83d\uDC4B\uD83Dx"`, want: `"\ud83d \udc4b\ud83d👋\ud83dx"`},
	{name: "bytes that are not UTF-8", in: "\"a\xff\xfeb\xc3\"", want: `"a` + "\uFFFD\uFFFD" + `b` + "\uFFFD" + `"`},
	{name: "a surrogate as bytes", in: "\"\xed\xa0\xbd\"", want: "\"\uFFFD\uFFFD\uFFFD\""},
	{name: "U+FFFD itself", in: "\"\uFFFD\"", want: "\"\uFFFD\""},
	{name: "decimals", in: `[1.0,1.50,-2.50,0.1,-0.1,0.10,12.75]`, want: `[1,1.5,-2.5,0.1,-0.1,0.1,12.75]`},
	{name: "zeros", in: `[0,-0,0.0,-0.0,0e5,-0E-5]`, want: `[0,0,0,0,0,0]`},
	{name: "exponents", in: `[1e0,1E2,1e+2,1e21,1E-7,0.0000001,0.000001,1.5e300,123e-20,100000000000000000000e0]`, want: `[1,100,100,1e+21,1e-7,1e-7,0.000001,1.5e+300,1.23e-18,100000000000000000000]`},
	{name: "more digits than a double has", in: `[0.1000000000000000055511151231257827,1.00000000000000000001,3.14159265358979323846]`, want: `[0.1,1,3.141592653589793]`},
	{name: "the ends of a double", in: `[5e-324,1e-400,1.7976931348623157e308,2.2250738585072014E-308]`, want: `[5e-324,0,1.7976931348623157e+308,2.2250738585072014e-308]`},
	{name: "integers to 2^53", in: `[9007199254740992,-9007199254740992]`, want: `[9007199254740992,-9007199254740992]`},
	{name: "integers over 2^53", in: `[9007199254740993, 1234567890123456789012345678901234567890]`, want: `[9007199254740993,1234567890123456789012345678901234567890]`, exception: true},
	{name: "numbers too large", in: `[1e400, -1E+400]`, want: `[1e400,-1E+400]`, exception: true},
	{name: "names that are integers", in: `{"b": 1, "10": 2, "9": 3}`, want: `{"b":1,"10":2,"9":3}`, exception: true},
	{name: "twins", in: `{"a":1,"b":2,"a":[3],"c":4,"b":{}}`, want: `{"a":[3],"b":{},"c":4}`},
	{name: "twins spelled differently", in: `{"a":1,"b":2,"\u0061":3}`, want: `{"a":3,"b":2}`},
	{name: "twins in twins", in: `{"a":{"x":1,"x":2},"a":{"y":1,"z":0,"y":2}}`, want: `{"a":{"y":2,"z":0}}`},
	{name: "a twin of the first with the longest value first", in: `{"a":"a long value that goes","a":1}`, want: `{"a":1}`},
	{name: "the name __proto__", in: `{"__proto__":1,"toString":2,"__proto__":3}`, want: `{"__proto__":3,"toString":2}`},
	{name: "an empty name", in: `{"":1,"":2}`, want: `{"":2}`},
	{name: "a lone string", in: ` "x" `, want: `"x"`},
}

func TestCanonicalWritesWhatJavaScriptWrites(t *testing.T) {
	js := startNode(t)
	for _, c := range append(canonicalCases, manyTwins()) {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.in)
			got, err := strictjson.JavaScript(raw)
			if err != nil {
				t.Fatalf("JavaScript: %v", err)
			}
			if string(got) != c.want {
				t.Errorf("JavaScript(%s):\n got %s\nwant %s", c.in, got, c.want)
			}
			if string(raw) != c.in {
				t.Errorf("JavaScript changed its input to %s", raw)
			}
			if rewritten := js.rewrite(t, got); (rewritten == string(got)) == c.exception {
				t.Errorf("JavaScript writes %s, we %s; should they differ: %v", rewritten, got, c.exception)
			}
		})
	}
}

// manyTwins returns a case with so many members that they are not compared pairwise.
func manyTwins() (c struct {
	name, in, want string
	exception      bool
}) {
	const many = 24 // the number of names from which they are sorted to be compared
	var in, want []string
	for i := range 3 * many {
		in = append(in, fmt.Sprintf(`"k%d": %d`, i%(2*many), i))
	}
	for i := range 2 * many {
		v := i
		if i < many {
			v += 2 * many
		}
		want = append(want, fmt.Sprintf(`"k%d":%d`, i, v))
	}
	c.name, c.in, c.want = "twins among many", "{"+strings.Join(in, ",")+"}", "{"+strings.Join(want, ",")+"}"
	return c
}

func TestCanonicalRefusesWhatIsNotJSON(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", "[", `"`, `"\`, `"\u12`, `"\x"`, `"\u12g4"`, `"\u+123"`, "\"\n\"", "\"\x00\"", "tru", "nul", "True", "undefined", "NaN", "Infinity",
		"01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "1_0", "--1", "[1,]", "[,1]", "[1 2]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1 "b":2}`, `{1:2}`, "[1]]", "1 2", "\ufeff1", "/**/1",
	} {
		if got, err := strictjson.JavaScript([]byte(in)); err == nil {
			t.Errorf("JavaScript(%q) = %s, want an error", in, got)
		}
	}
}

func TestCanonicalBoundsTheDepth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := strictjson.JavaScript(nest(strictjson.MaxJavaScriptDepth)); err != nil {
		t.Errorf("JavaScript at the bound: %v", err)
	}
	if _, err := strictjson.JavaScript(nest(strictjson.MaxJavaScriptDepth + 1)); !errors.Is(err, strictjson.ErrTooDeep) {
		t.Errorf("JavaScript over the bound: got %v, want ErrTooDeep", err)
	}
	if _, err := strictjson.JavaScript(bytes.Repeat([]byte(`{"":`), 1<<20)); !errors.Is(err, strictjson.ErrTooDeep) {
		t.Errorf("JavaScript of an endless nest: got %v, want ErrTooDeep", err)
	}
}

func TestCanonicalCopiesNothingThatStaysAsItIs(t *testing.T) {
	raw := []byte(`{"result":"Grüße 👋\n<b>","n":[1,2.5,0.25],"usage":{"input_tokens":1}}`)
	if allocs := testing.AllocsPerRun(100, func() { strictjson.JavaScript(raw) }); allocs > 4 {
		t.Errorf("JavaScript allocates %v times, want the list of members alone", allocs)
	}
	if got, _ := strictjson.JavaScript(raw); &got[0] != &raw[0] {
		t.Error("JavaScript copied a body that was canonical")
	}
}

func TestAnyJSONIsCanonicalAfterCanonical(t *testing.T) {
	js := startNode(t)
	rapid.Check(t, func(t *rapid.T) {
		raw := genJSON(3).Draw(t, "raw")
		got, err := strictjson.JavaScript([]byte(raw))
		if err != nil {
			t.Fatalf("JavaScript(%q): %v", raw, err)
		}
		if !utf8.Valid(got) {
			t.Fatalf("JavaScript(%q) = %q is not UTF-8", raw, got)
		}
		if js := js.rewrite(t, got); js != string(got) {
			t.Fatalf("JavaScript(%q)\n     = %q,\nJavaScript writes %q", raw, got, js)
		}
		if utf8.ValidString(raw) {
			if js := js.rewrite(t, []byte(raw)); js != string(got) {
				t.Fatalf("JavaScript(%q)\n     = %q,\nJavaScript makes of the same input %q", raw, got, js)
			}
		}
		again, err := strictjson.JavaScript(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("JavaScript of what it gave: %q, %v, want %q", again, err, got)
		}
	})
}

// genJSON generates JSON as ugly as possible, without the documented exceptions.
func genJSON(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r "})
	scalar := rapid.OneOf(rapid.SampledFrom([]string{"true", "false", "null"}), genNumber(), genString(""))
	if depth == 0 {
		return scalar
	}
	return rapid.Custom(func(t *rapid.T) string {
		pad := func(s string) string { return space.Draw(t, "before") + s + space.Draw(t, "after") }
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return pad(scalar.Draw(t, "scalar"))
		case 1:
			items := rapid.SliceOfN(genJSON(depth-1), 0, 4).Draw(t, "items")
			return pad("[" + pad(strings.Join(items, ",")) + "]")
		default:
			var members []string
			for range rapid.IntRange(0, 5).Draw(t, "members") {
				// A letter in front: names that are integers are an exception.
				name := rapid.OneOf(rapid.SampledFrom([]string{`"a"`, `"\u0061"`, `"b"`, `""`}), genString("k")).Draw(t, "name")
				members = append(members, pad(name)+":"+pad(genJSON(depth-1).Draw(t, "value")))
			}
			return pad("{" + pad(strings.Join(members, ",")) + "}")
		}
	})
}

func genNumber() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string {
			return strconv.FormatInt(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "integer"), 10)
		}),
		rapid.Custom(func(t *rapid.T) string {
			f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
			if math.IsInf(f, 0) || math.IsNaN(f) {
				f = 0.5
			}
			format := rapid.SampledFrom([]byte("eE")).Draw(t, "format")
			return strconv.FormatFloat(f, format, rapid.IntRange(-1, 25).Draw(t, "digits"), 64)
		}).Filter(func(s string) bool { _, err := strconv.ParseFloat(s, 64); return err == nil }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,12})\.[0-9]{1,20}`),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?[eE][+-]?[0-9]{1,2}`),
	)
}

func genString(prefix string) *rapid.Generator[string] {
	part := rapid.OneOf(
		rapid.StringMatching(`[ -!#-\[\]-~]{0,8}`),
		rapid.SampledFrom([]string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, "ü", "👋", "\u2028", "\x7f", "\uFFFD", "\xff", "\xed\xa0\x80", "\xc3"}),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf(`\u%04x`, rapid.Uint16().Draw(t, "unit")) }),
		rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf(`\u%04X`, rapid.Uint16Range(0xd7f0, 0xe00f).Draw(t, "unit"))
		}),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf(`\u00%02x`, rapid.Byte().Draw(t, "unit")) }),
	)
	return rapid.Custom(func(t *rapid.T) string {
		return `"` + prefix + strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), "") + `"`
	})
}

func FuzzCanonical(f *testing.F) {
	for _, c := range canonicalCases {
		f.Add([]byte(c.in))
	}
	for _, in := range goldenInputs(f) {
		raw, err := os.ReadFile(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	js := startNode(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := strictjson.JavaScript(raw)
		if errors.Is(err, strictjson.ErrTooDeep) {
			return
		}
		if (err == nil) != json.Valid(raw) {
			t.Fatalf("JavaScript(%q): %v, and json.Valid says %v", raw, err, json.Valid(raw))
		}
		if err != nil {
			return
		}
		if !utf8.Valid(got) {
			t.Fatalf("JavaScript(%q) = %q is not UTF-8", raw, got)
		}
		if again, err := strictjson.JavaScript(got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("JavaScript of what it gave, %q: %q, %v", got, again, err)
		}
		if !isException(got) {
			if js := js.rewrite(t, got); js != string(got) {
				t.Fatalf("JavaScript(%q)\n     = %q,\nJavaScript writes %q", raw, got, js)
			}
		}
	})
}

// isException reports whether canonical JSON contains something that JavaScript would
// change.
func isException(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Number:
			if f, err := v.Float64(); err != nil || math.Abs(f) >= 1<<53 {
				return true
			}
		case string: // a name, or a value that looks like such a name
			if _, err := strconv.ParseUint(v, 10, 64); err == nil {
				return true
			}
		}
	}
}

func goldenInputs(tb testing.TB) []string {
	inputs, err := filepath.Glob("testdata/bodies/*.in.json")
	if err != nil || len(inputs) == 0 {
		tb.Fatalf("no golden bodies: %v", err)
	}
	return inputs
}

func TestGoldenBodies(t *testing.T) {
	js := startNode(t)
	for _, in := range goldenInputs(t) {
		name := strings.TrimSuffix(filepath.Base(in), ".in.json")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := strictjson.JavaScript(raw)
			if err != nil {
				t.Fatalf("JavaScript: %v", err)
			}
			golden := strings.TrimSuffix(in, ".in.json") + ".golden.json"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("no golden file (-update writes it): %v", err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("JavaScript (-want +got):\n%s", diff)
			}
			if rewritten := js.rewrite(t, got); rewritten != string(got) {
				t.Errorf("JavaScript would write the body otherwise:\n%s", rewritten)
			}
		})
	}
}

func TestBodyIsTheCanonicalJSONOfTheEvent(t *testing.T) {
	response := rapid.OneOf(genJSON(3), rapid.SampledFrom([]string{"", "null", "0", `{"response":0,"x":1}`, "{", `0,"x":1`, "1}", " ", "{}{}"}))
	text := rapid.OneOf(genString(""), rapid.SampledFrom([]string{`"response":0,`, "<b>\u2028\xff"}))
	rapid.Check(t, func(t *rapid.T) {
		event := ringback.Event{Type: ringback.EventCompleted, Job: ringback.Job{
			StatusReason: text.Draw(t, "reason"), Response: json.RawMessage(response.Draw(t, "response")),
			Metadata: json.RawMessage(rapid.SampledFrom([]string{"{}", `{"a":1,"response":0,"b": 1.0}`}).Draw(t, "metadata")),
		}}
		if rapid.Bool().Draw(t, "completed") {
			event.Result = new(text.Draw(t, "result"))
		}
		got, err := Body(event)
		want, wantErr := throughJSON(event)
		if (err == nil) != (wantErr == nil) || string(got) != string(want) {
			t.Fatalf("Body: %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
}

// throughJSON is Body, the long way.
func throughJSON(e ringback.Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return strictjson.JavaScript(b.Bytes())
}

func TestBodyBoundsTheDepth(t *testing.T) {
	for depth, want := range map[int]error{strictjson.MaxJavaScriptDepth - 1: nil, strictjson.MaxJavaScriptDepth: strictjson.ErrTooDeep} {
		response := json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if _, err := Body(ringback.Event{Job: ringback.Job{Response: response}}); !errors.Is(err, want) {
			t.Errorf("Body with a response nested %d deep: got %v, want %v", depth, err, want)
		}
	}
}

// BenchmarkCanonical makes the body of a webhook canonical, as happens once for each
// answer. Most bodies are canonical already; the others have to be rewritten.
func BenchmarkCanonical(b *testing.B) {
	text, err := json.Marshal(strings.Repeat("The quick brown fox, \"as they say\", jumps.\n", 100))
	if err != nil {
		b.Fatal(err)
	}
	const form = `{"type":"job.completed","result":%s,"usage":{"input_tokens":12,"output_tokens":345},"cost_usd":null,"response":{"content":[{"type":"text","text":%s}]}%s}`
	for name, body := range map[string]string{
		"as it is":        fmt.Sprintf(form, text, text, ""),
		"one number":      fmt.Sprintf(form, text, text, `,"metadata":{"t":1.0}`),
		"escaped Chinese": fmt.Sprintf(form, strconv.QuoteToASCII(strings.Repeat("你好，世界。", 500)), text, ""),
		"many names":      "{" + strings.TrimSuffix(strings.Repeat(`"a":{"b":1,"c":2,"d":3},"e":[1,2,3],`, 10), ",") + "}",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			raw := []byte(body)
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := strictjson.JavaScript(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBody makes the webhook of an answer, which contains it twice: as text, and in
// the provider's message.
func BenchmarkBody(b *testing.B) {
	at := ringback.Time{Time: time.Date(2026, 7, 1, 12, 0, 0, 123e6, time.UTC)}
	for _, size := range []int{500, 200 << 10} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			answer := strings.Repeat("The quick brown fox jumps over \"it\".\n", size/38)
			text, err := json.Marshal(answer)
			if err != nil {
				b.Fatal(err)
			}
			usage := json.RawMessage(`{"input_tokens":12,"output_tokens":345}`)
			event := ringback.Event{Type: ringback.EventCompleted, Timestamp: at, Job: ringback.Job{
				ID: "019813e4-5b1c-7e0a-b5f0-3d0b8f0c6d1e", Status: ringback.Completed, Result: &answer,
				Response: fmt.Appendf(nil, `{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-5","content":[{"type":"text","text":%s}],"stop_reason":"end_turn","usage":%s}`, text, usage),
				Model:    "claude-opus-4-5", RequestedModel: "claude-opus-4-5", Provider: "anthropic", Usage: usage,
				DurationMS: new(int64(1200)), QueueMS: new(int64(3)), Attempts: 1, MaxAttempts: 3,
				CreatedAt: at, StartedAt: at, EndedAt: at, ExpiresAt: at, ResultExpiresAt: at,
				Metadata: json.RawMessage(`{"user":17}`), StatusURL: "https://ringback.example.com/api/jobs/019813e4-5b1c-7e0a-b5f0-3d0b8f0c6d1e",
			}}
			b.ReportAllocs()
			b.SetBytes(int64(len(answer)))
			for b.Loop() {
				if _, err := Body(event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
