package provider

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
)

// heard records the deltas of a call.
type heard struct{ deltas []ringback.Delta }

// listen records the deltas of a call; nil where the call is measured.
func listen(t testing.TB, request *Request) *heard {
	if _, measured := t.(*testing.B); measured {
		return nil
	}
	h, own := new(heard), request.Delta
	request.Delta = func(d ringback.Delta) {
		h.deltas = append(h.deltas, d)
		if own != nil {
			own(d)
		}
	}
	return h
}

// of joins the pieces of a kind by their index.
func (h *heard) of(kind ringback.DeltaKind) map[int]string {
	joined := make(map[int]string)
	for _, d := range h.deltas {
		if d.Kind == kind {
			joined[d.Index] += d.Text
		}
	}
	return joined
}

// all joins the pieces of a kind in the order of their indices.
func (h *heard) all(kind ringback.DeltaKind) string {
	joined := h.of(kind)
	var b strings.Builder
	for _, index := range slices.Sorted(maps.Keys(joined)) {
		b.WriteString(joined[index])
	}
	return b.String()
}

// check compares the deltas with the answer, or with the part that arrived.
func (h *heard) check(t testing.TB, client *Client, answer *Answer, failure *Error) {
	t.Helper()
	if h == nil {
		return
	}
	for _, d := range h.deltas {
		if d.Text == "" || !utf8.ValidString(d.Text) || d.Index < 0 {
			t.Errorf("emitted %+v, want some text in UTF-8", d)
		}
	}
	if failure != nil {
		if got := h.all(ringback.DeltaText); got != failure.PartialText && failure.Code != ringback.CodeInternal {
			t.Errorf("emitted %q, want the partial text %q (%v)", got, failure.PartialText, failure)
		}
		return
	}
	if got := h.all(ringback.DeltaText); got != answer.Text {
		t.Errorf("emitted %q, want the text %q", got, answer.Text)
	}
	if client.protocol == "anthropic" {
		if content := gjson.GetBytes(answer.Message, "content"); content.IsArray() {
			h.checkBlocks(t, content.Array())
		}
	} else {
		h.checkMessage(t, gjson.GetBytes(answer.Message, "choices.0.message"))
	}
}

func (h *heard) checkBlocks(t testing.TB, blocks []gjson.Result) {
	t.Helper()
	thoughts, inputs := h.of(ringback.DeltaThinking), h.of(ringback.DeltaToolInput)
	for i, block := range blocks {
		if got, want := thoughts[i], block.Get("thinking").Str; block.Get("type").Str == "thinking" && got != want {
			t.Errorf("emitted the thoughts %q of block %d, want %q", got, i, want)
		}
		got, want := strings.TrimSpace(inputs[i]), block.Get("input").Raw
		if invalid := block.Get("input.INVALID_JSON"); invalid.Exists() && got != want {
			want = invalid.Str // as it arrived in pieces
		}
		if (got != "" || len(block.Get("input").Map()) > 0) && got != want {
			t.Errorf("emitted the input %q of block %d, want %q", got, i, want)
		}
	}
}

func (h *heard) checkMessage(t testing.TB, message gjson.Result) {
	t.Helper()
	thoughts := h.all(ringback.DeltaThinking)
	one, other := message.Get("reasoning_content"), message.Get("reasoning")
	if !message.Get("content").IsArray() && !one.IsArray() && !other.IsArray() && thoughts != one.Str && thoughts != other.Str {
		t.Errorf("emitted the thoughts %q, want %q or %q", thoughts, one.Str, other.Str)
	}
	inputs := h.of(ringback.DeltaToolInput)
	calls := message.Get("tool_calls")
	if !calls.IsArray() {
		return
	}
	for i, call := range calls.Array() {
		input := call.Get("function").Get("arguments")
		if want := input.String(); (input.Type == gjson.String || input.IsObject()) && inputs[i] != want {
			t.Errorf("emitted the input %q of call %d, want %q", inputs[i], i, want)
		}
	}
}

// Everything that has arrived is emitted before any more is read, except half a character.
func TestAPieceIsToldAtOnce(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for name, recorded := range golden(t, d.protocol) {
			t.Run(name, func(t *testing.T) {
				var h heard
				read := 0
				stream := readerFunc(func(p []byte) (int, error) {
					got, blank := h.all(ringback.DeltaText), strings.LastIndex(lines(recorded[:read]), "\n\n")
					if want, _ := d.arrived(t, lines(recorded[:read])[:blank+1]); got != want && got+"\uFFFD" != want {
						t.Fatalf("after %d bytes: emitted %q, want %q", read, got, want)
					}
					if read == len(recorded) {
						return 0, io.EOF
					}
					n := copy(p, strings.SplitAfterN(recorded[read:], "\n", 2)[0]) // line by line
					read += n
					return n, nil
				})
				receiveAs(t, d.offline(t), Request{Delta: func(d ringback.Delta) { h.deltas = append(h.deltas, d) }}, "text/event-stream", stream)
			})
		}
	})
}

// The same answer without streaming is emitted as the same text in fewer pieces.
func TestAnAnswerWithoutStreamingIsToldAsItsStream(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for name, recorded := range golden(t, d.protocol) {
			var streamed, whole heard
			receiveAs(t, d.offline(t), Request{Delta: func(d ringback.Delta) { streamed.deltas = append(streamed.deltas, d) }}, "text/event-stream", strings.NewReader(recorded))
			receiveAs(t, d.offline(t), Request{Delta: func(d ringback.Delta) { whole.deltas = append(whole.deltas, d) }}, "application/json", strings.NewReader(content(t, d.file(name))))
			for _, kind := range []ringback.DeltaKind{ringback.DeltaText, ringback.DeltaThinking} {
				if diff := gocmp.Diff(streamed.of(kind), whole.of(kind)); diff != "" {
					t.Errorf("%s: %s (-streamed +whole):\n%s", name, kind, diff)
				}
			}
		}
	})
}

const (
	text, thinking, toolInput = ringback.DeltaText, ringback.DeltaThinking, ringback.DeltaToolInput
)

func TestWhatIsToldOfBlocks(t *testing.T) {
	start := func(index int, block string) string {
		return event(fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, index, block))
	}
	piece := func(index int, delta string) string {
		return event(fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":%s}`, index, delta))
	}
	for name, row := range map[string]struct {
		stream string
		want   []ringback.Delta
	}{
		"blocks by their places, not by the indices of the stream": {
			start(7, `{"type":"thinking","thinking":""}`) + piece(7, `{"type":"thinking_delta","thinking":"Hm."}`) + piece(7, `{"type":"signature_delta","signature":"x"}`) +
				start(3, `{"type":"text","text":""}`) + piece(3, `{"type":"text_delta","text":"Yes"}`) + piece(3, `{"type":"text_delta","text":null}`) + piece(3, `{"type":"text_delta","text":"."}`) +
				start(9, `{"type":"tool_use","id":"t","name":"f","input":{}}`) + piece(9, `{"type":"input_json_delta","partial_json":""}`) + piece(9, `{"type":"input_json_delta","partial_json":"{\"a\""}`) + piece(9, `{"type":"input_json_delta","partial_json":" : 1}"}`),
			[]ringback.Delta{{Kind: thinking, Index: 0, Text: "Hm."}, {Kind: text, Index: 1, Text: "Yes"}, {Kind: text, Index: 1, Text: "."}, {Kind: toolInput, Index: 2, Text: `{"a"`}, {Kind: toolInput, Index: 2, Text: ` : 1}`}},
		},
		"what a block begins with": {
			start(0, `{"type":"text","text":"Be"}`) + piece(0, `{"type":"text_delta","text":" it"}`) + start(1, `{"type":"tool_use","input":{"a":1}}`) + start(2, `{"type":"text","text":"so"}`),
			[]ringback.Delta{{Kind: text, Index: 0, Text: "Be"}, {Kind: text, Index: 0, Text: " it"}, {Kind: text, Index: 2, Text: "so"}, {Kind: toolInput, Index: 1, Text: `{"a":1}`}},
		},
		"halves of characters": {
			start(0, `{"type":"text","text":"\ud83d"}`) + piece(0, `{"type":"text_delta","text":"\ude00 \uD83D"}`) + piece(0, `{"type":"text_delta","text":""}`) + piece(0, `{"type":"text_delta","text":"x\\ud83d"}`) +
				piece(0, `{"type":"text_delta","text":"\ude00\\\ud83d"}`) + start(1, `{"type":"text","text":"\ude00"}`),
			[]ringback.Delta{{Kind: text, Index: 0, Text: "😀 "}, {Kind: text, Index: 0, Text: `` + "\uFFFD" + `x\ud83d`}, {Kind: text, Index: 0, Text: "\uFFFD\\"}, {Kind: text, Index: 1, Text: "\uFFFD"}, {Kind: text, Index: 0, Text: "\uFFFD"}},
		},
		"pieces that are not known": {
			start(0, `{"type":"text","text":"a"}`) + piece(0, `{"type":"new_delta","text":"b","more":"x"}`) + piece(0, `{"type":"new_delta","text":5}`) + piece(0, `{"type":"signature_delta","text":"c"}`) + piece(0, `{"type":"text_delta","text":"d"}`),
			[]ringback.Delta{{Kind: text, Index: 0, Text: "a"}, {Kind: text, Index: 0, Text: "b"}, {Kind: text, Index: 0, Text: "d"}},
		},
		"blocks that are no text": {
			start(0, `{"type":"compaction","content":null}`) + piece(0, `{"type":"compaction_delta","content":"Before."}`) + start(1, `{"type":"other","text":"x","thinking":"y"}`) + piece(1, `{"type":"text_delta","text":"z"}`),
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			if _, failure := receiveAs(t, offline(t), Request{Delta: func(d ringback.Delta) { h.deltas = append(h.deltas, d) }}, "text/event-stream", strings.NewReader(begin+row.stream+finish)); failure != nil {
				t.Fatal(failure)
			}
			if diff := gocmp.Diff(row.want, h.deltas); diff != "" {
				t.Errorf("deltas (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsToldOfChunks(t *testing.T) {
	delta := func(deltas ...string) string {
		var b strings.Builder
		for _, d := range deltas {
			b.WriteString(event(`{"choices":[{"index":0,"delta":` + d + `}]}`))
		}
		return b.String()
	}
	for name, row := range map[string]struct {
		stream string
		want   []ringback.Delta
	}{
		"thoughts, text and calls": {
			delta(`{"content":null,"reasoning_content":"Hm"}`, `{"content":null,"reasoning_content":"."}`, `{"content":"Yes"}`, `{"refusal":"No."}`,
				`{"tool_calls":[{"index":4,"id":"a","function":{"name":"f","arguments":"{"}},{"index":5,"id":"b","function":{"name":"f","arguments":"{}"}}]}`, `{"tool_calls":[{"index":4,"function":{"arguments":"}"}}]}`),
			[]ringback.Delta{{Kind: thinking, Text: "Hm"}, {Kind: thinking, Text: "."}, {Kind: text, Text: "Yes"}, {Kind: toolInput, Text: "{"}, {Kind: toolInput, Index: 1, Text: "{}"}, {Kind: toolInput, Text: "}"}},
		},
		"calls that come whole, or as objects": {
			delta(`{"tool_calls":[{"function":{"arguments":"{}"}},{"function":{"arguments":{"a":1}}}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":{"b":2}}}]}`, `{"tool_calls":[{"function":{"arguments":"3"}}]}`),
			[]ringback.Delta{{Kind: toolInput, Text: "{}"}, {Kind: toolInput, Index: 1, Text: `{"a":1}`}, {Kind: toolInput, Index: 2, Text: `{"b":2}`}, {Kind: toolInput, Index: 3, Text: "3"}},
		},
		"thoughts under two names": {
			delta(`{"reasoning":"H","reasoning_content":"H"}`, `{"reasoning":"m","reasoning_content":"m"}`),
			[]ringback.Delta{{Kind: thinking, Text: "H"}, {Kind: thinking, Text: "m"}},
		},
		"parts behind half a character": {
			delta(`{"content":"a\ud83d"}`, `{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"},{"type":"text","text":"."}]},{"type":"text","text":"\ude00b"}]}`, `{"content":"c\ud83d"}`, `{"content":"\ude00d"}`),
			[]ringback.Delta{{Kind: text, Text: "a"}, {Kind: text, Text: "\uFFFD"}, {Kind: thinking, Text: "Hm."}, {Kind: text, Text: "\uFFFDb"}, {Kind: text, Text: "c\uFFFD"}, {Kind: text, Text: "\uFFFDd"}},
		},
		"parts that grow side by side": {
			delta(`{"content":[{"index":0,"text":"a"},{"index":1,"type":"text","text":"x"}]}`, `{"content":[{"index":0,"type":"text","text":"b"}]}`, `{"content":[{"index":1,"type":"other","text":"y"}]}`),
			[]ringback.Delta{{Kind: text, Index: 1, Text: "x"}, {Kind: text, Text: "ab"}, {Kind: text, Index: 1, Text: "y"}},
		},
		"the first of two choices alone": {
			event(`{"choices":[{"index":1,"delta":{"content":"Other"}},{"index":0,"delta":{"content":"One"}}]}`) + event(`{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}`),
			[]ringback.Delta{{Kind: text, Text: "One"}},
		},
		"messages that may come again, longer": {
			event(`{"choices":[{"message":{"content":"Wh"}}]}`) + event(`{"choices":[{"message":{"content":"Whole","tool_calls":[{"function":{"arguments":"{}"}}]}}]}`),
			[]ringback.Delta{{Kind: text, Text: "Whole"}, {Kind: toolInput, Text: "{}"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var h heard
			if _, failure := receiveAs(t, dialects[1].offline(t), Request{Delta: func(d ringback.Delta) { h.deltas = append(h.deltas, d) }}, "text/event-stream", strings.NewReader(row.stream+chunkFinish)); failure != nil {
				t.Fatal(failure)
			}
			if diff := gocmp.Diff(row.want, h.deltas); diff != "" {
				t.Errorf("deltas (-want +got):\n%s", diff)
			}
		})
	}
}

// A choice that is not the first of all is known to be the answer's only at the end.
func TestTheOnlyChoiceIsToldWhateverItsIndex(t *testing.T) {
	stream := strings.ReplaceAll(chunkBegin+chunkSome+chunkFinish, `"index":0`, `"index":2`)
	if answer, failure := receive(t, dialects[1].offline(t), strings.NewReader(stream)); failure != nil || answer.Text != "Some text" {
		t.Errorf("got %v and %v, want the answer", answer, failure)
	}
}

// contents returns the contents of a JSON string, cut into pieces between its escapes.
func contents(t *rapid.T) []string {
	atom := rapid.SampledFrom([]string{"", "a", "é", "😀", "ud83d", `\ud83d`, `\uD83D`, `\ude00`, `\uDE00`, `\udbff`, `\u0041`, `\u005c`, `\\`, `\"`, `\n`, `\/`, `\u0000`, "\xff", "\u2028"})
	return rapid.SliceOfN(rapid.Map(rapid.SliceOfN(atom, 0, 4), func(atoms []string) string { return strings.Join(atoms, "") }), 1, 12).Draw(t, "pieces")
}

// Whatever the pieces and wherever the stream is cut, what was emitted is the text: receive
// checks it.
func TestWhatIsToldIsTheText(t *testing.T) {
	forms := map[string][]string{
		"anthropic": {
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"$"}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"$"}}`,
			`{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"$"}}`,
			`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"$"}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","text":"$","x":"$"}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":null}}`,
			`{"type":"ping"}`,
		},
		"openai": {
			`{"choices":[{"index":0,"delta":{"content":"$"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"$"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"$","reasoning":"$"}}]}`,
			`{"choices":[{"index":1,"delta":{"content":"$"}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"$"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"arguments":"$"}},{"function":{"arguments":"$"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"$"},{"type":"image"},{"type":"text","text":"$"}]}}]}`,
			`{"choices":[{"index":0,"delta":{"content":[{"index":0,"type":"text","text":"$"}]}}]}`,
			`{"choices":[{"index":0,"message":{"content":"$","reasoning_content":"$"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":null}}]}`,
		},
	}
	starts := map[string]string{
		"anthropic": begin + block + event(`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"\ud83d"}}`) +
			event(`{"type":"content_block_start","index":2,"content_block":{"type":"thinking","thinking":""}}`) + event(`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","input":{}}}`),
		"openai": "",
	}
	forEachProtocol(t, func(t *testing.T, d dialect) {
		client := d.offline(t)
		rapid.Check(t, func(r *rapid.T) {
			stream := starts[d.protocol]
			for _, piece := range contents(r) {
				form := rapid.SampledFrom(forms[d.protocol]).Draw(r, "form")
				stream += event(strings.ReplaceAll(form, "$", piece))
			}
			ends := []string{d.finish, "", event("{"), strings.ReplaceAll(chunkStop, `"index":0`, `"index":1`) + d.finish}
			stream += rapid.SampledFrom(ends).Draw(r, "end")
			receiveChecked(t, r, client, "text/event-stream", stream)
		})
	})
}

// The same holds for streams in which everything is in the wrong place.
func TestWhatIsToldIsTheTextOfAnyStream(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		client := d.offline(t)
		rapid.Check(t, func(r *rapid.T) {
			var stream strings.Builder
			if d.protocol == "anthropic" {
				stream.WriteString(rapid.SampledFrom([]string{begin, strings.Replace(begin, `"content":[]`, `"content":`+anyJSON(r, 3), 1)}).Draw(r, "begin"))
			}
			for i := range rapid.IntRange(0, 8).Draw(r, "events") {
				if d.protocol == "openai" {
					form := rapid.SampledFrom([]string{`{"choices":[{"index":%d,"delta":%s}]}`, `{"choices":[{"index":%d,"message":%s}]}`, `{"choices":[{"index":%d,"message":%[2]s,"delta":%[2]s}]}`}).Draw(r, "form")
					stream.WriteString(event(fmt.Sprintf(form, rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(r, "choice"), anyObject(r, 4))))
				} else {
					form := `{"type":"content_block_delta","index":%d,"delta":%s}`
					index := rapid.IntRange(0, 2).Draw(r, "index")
					if i < 3 {
						form, index = `{"type":"content_block_start","index":%d,"content_block":%s}`, i
					}
					stream.WriteString(event(fmt.Sprintf(form, index, anyObject(r, 2))))
				}
			}
			stream.WriteString(rapid.SampledFrom([]string{d.finish, ""}).Draw(r, "end"))
			receiveChecked(t, r, client, "text/event-stream", stream.String())
			receiveChecked(t, r, client, "application/json", `{"content":[`+anyObject(r, 4)+`,"x",`+anyObject(r, 4)+`],"choices":[{"message":`+anyObject(r, 4)+`}]}`)
		})
	})
}

// anyObject generates an object of members that the protocols know, of any kind.
func anyObject(r *rapid.T, depth int) string {
	known := map[string][]string{
		"content":    nil,
		"reasoning":  {`"hm"`, `"\ud83d"`},
		"tool_calls": {`[{"index":0,"function":{"arguments":"{"}}]`, `[{"function":{"arguments":"{}"}},{"index":0}]`, `[]`},
		"function":   {`{"arguments":"{}"}`},
		"arguments":  {`"{"`, `{"a":1}`},
		"type":       {`"text"`, `"text"`, `"thinking"`, `"tool_use"`, `"text_delta"`, `"thinking_delta"`, `"input_json_delta"`, `"signature_delta"`, `"x"`},
		"text":       {`"a"`, `"\ud83d"`, `"\ude00"`},
		"thinking":   {`"a"`, `[{"type":"text","text":"b"}]`},
		"index":      {`0`, `0`, `1`, `-1`},
		"id":         {`"a"`, `"b"`},
		"input":      {`{}`, `{"a":1}`},

		"partial_json": {`"{"`, `"}"`},
	}
	names := slices.Sorted(maps.Keys(known))
	var members []string
	for range rapid.IntRange(0, 5).Draw(r, "members") {
		name := rapid.SampledFrom(names).Draw(r, "name")
		if usual := known[name]; len(usual) > 0 && rapid.IntRange(0, 3).Draw(r, "usual") > 0 {
			members = append(members, fmt.Sprintf("%q:%s", name, rapid.SampledFrom(usual).Draw(r, "value")))
		} else {
			members = append(members, fmt.Sprintf("%q:%s", name, anyJSON(r, depth-1)))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func anyJSON(r *rapid.T, depth int) string {
	kinds := []string{"string", "string", "null", "number", "list", "object"}
	if depth <= 0 {
		kinds = kinds[:4]
	}
	switch rapid.SampledFrom(kinds).Draw(r, "kind") {
	case "string":
		return `"` + strings.Join(contents(r)[:1], "") + `"`
	case "number":
		return "5"
	case "list":
		items := make([]string, rapid.IntRange(0, 3).Draw(r, "items"))
		for i := range items {
			items[i] = anyObject(r, depth-1)
		}
		return "[" + strings.Join(items, ",") + "]"
	case "object":
		return anyObject(r, depth-1)
	}
	return "null"
}

// receiveChecked has rapid find the smallest stream for which the deltas differ from the
// answer.
func receiveChecked(t *testing.T, r *rapid.T, client *Client, contentType, stream string) {
	fault := &faults{TB: t}
	receiveAs(fault, client, Request{}, contentType, strings.NewReader(stream))
	if len(fault.said) > 0 {
		r.Fatalf("%s\n%s", stream, strings.Join(fault.said, "\n"))
	}
}

// faults records what would fail a test.
type faults struct {
	testing.TB
	said []string
}

func (f *faults) Helper() {}

func (f *faults) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}
