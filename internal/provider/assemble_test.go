package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
)

// anthropicTexts are the texts of the recorded answers.
var anthropicTexts = map[string]string{
	"compaction":                 "Hello again.",
	"crlf":                       "Lines end as they like.",
	"empty_text":                 "",
	"fallback":                   "From another model.",
	"interleaved":                "Be first, second",
	"no_content":                 "",
	"redacted_thinking":          "Done.",
	"stop_sequence":              "One, two",
	"text":                       "A webhook is a request that comes to you.",
	"thinking":                   "It is 21.",
	"tool_use":                   "Okay, let me look.",
	"tool_use_cut_by_max_tokens": "",
	"tool_use_empty_input":       "",
	"unicode":                    "Grüße 🌍 🚀 😀 e\u0301 \u2028 \u2028 \" \\ \n\t<&>",
	"unknown":                    "Seen.",
	"unnamed_events":             "Only the data says what it is.",
	"web_search":                 "I'll search for that.It is a request that comes to you. So it is.",
}

// A stream becomes exactly the message of a call without streaming: the same
// members, in the same order, with the same digits and escapes.
func TestAStreamBecomesTheMessage(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for name, recorded := range golden(t, d.protocol) {
			t.Run(name, func(t *testing.T) {
				answer := generate(t, d.provide(t, stream(recorded)), Request{})
				want := new(bytes.Buffer)
				if err := json.Compact(want, []byte(content(t, d.file(name)))); err != nil {
					t.Fatal(err)
				}
				got := new(bytes.Buffer)
				if err := json.Compact(got, answer.Message); err != nil {
					t.Fatalf("the message is not JSON: %v", err)
				}
				if diff := gocmp.Diff(want.String(), got.String()); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
				text, known := d.texts[name]
				if !known || answer.Text != text {
					t.Errorf("text: got %q, want %q", answer.Text, text)
				}
				if stored, err := protocol.Text(d.protocol, answer.Message); err != nil || stored != answer.Text {
					t.Errorf("Text of the message: got %q and %v, want %q", stored, err, answer.Text)
				}
				checkAgainstMessage(t, d, answer)
				if answer.RequestID != "req_1" {
					t.Errorf("request id: got %q, want %q", answer.RequestID, "req_1")
				}
				if begun := strings.Contains(recorded, d.speaks); begun == answer.FirstTokenAt.IsZero() {
					t.Errorf("first token at %v, want a time: %v", answer.FirstTokenAt, begun)
				}
			})
		}
	})
}

// checkAgainstMessage compares the answer's other fields with its message.
func checkAgainstMessage(t *testing.T, d dialect, answer *Answer) {
	t.Helper()
	var message struct {
		Model string
		Usage json.RawMessage
	}
	if err := json.Unmarshal(answer.Message, &message); err != nil {
		t.Fatal(err)
	}
	if answer.Model != message.Model {
		t.Errorf("model: got %q, want %q", answer.Model, message.Model)
	}
	if want := d.counted(string(message.Usage)); string(answer.Usage) != want {
		t.Errorf("usage: got %s, want %s", answer.Usage, want)
	}
}

// A stream cut after any byte is an answer if its finish has arrived, even without its
// blank line. Before that it is a broken stream, with all the text that had arrived.
func TestAStreamCutBeforeItsFinishIsNoAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		client := d.offline(t)
		for name, recorded := range golden(t, d.protocol) {
			t.Run(name, func(t *testing.T) {
				text, usage, may, events := "", "", false, 0
				for cut := range len(recorded) {
					if n := len(slices.Collect(wholeEvents(recorded[:cut]))); n != events {
						events, may = n, d.mayEnd(recorded[:cut])
						text, usage = d.arrived(t, recorded[:cut])
					}
					answer, failure := receive(t, client, strings.NewReader(recorded[:cut]))
					if may != (failure == nil) {
						t.Fatalf("cut %d bytes before the end: got the answer %v and %v, want an answer: %v", len(recorded)-cut, answer, failure, may)
					}
					if failure == nil {
						continue
					}
					if failure.Verdict != Retry || failure.Code != ringback.CodeStreamBroken {
						t.Fatalf("cut at %d: got %s, %s; want %s, %s", cut, failure.Verdict, failure.Code, Retry, ringback.CodeStreamBroken)
					}
					if failure.PartialText != text {
						t.Fatalf("cut at %d: got the partial text %q, want %q", cut, failure.PartialText, text)
					}
					if string(failure.PartialUsage) != usage {
						t.Fatalf("cut at %d: got the partial usage %s, want %s", cut, failure.PartialUsage, usage)
					}
				}
			})
		}
	})
}

// anthropicMayEnd reports whether the message has said why it stopped.
func anthropicMayEnd(prefix string) bool {
	for event := range wholeEvents(prefix) {
		var e struct {
			Type  string
			Delta struct {
				StopReason string `json:"stop_reason"`
			}
		}
		if json.Unmarshal([]byte(event), &e); e.Type == "message_delta" && e.Delta.StopReason != "" {
			return true
		}
	}
	return false
}

// arrived returns the text, and the usage's first form, of the whole events in a prefix of
// a stream, in the plainest way possible.
func arrived(t *testing.T, prefix string) (text, usage string) {
	t.Helper()
	pieces := map[int]string{} // raw, by block
	for event := range wholeEvents(prefix) {
		var e struct {
			Type         string
			Index        int
			Message      struct{ Usage json.RawMessage }
			ContentBlock struct {
				Type string
				Text json.RawMessage
			} `json:"content_block"`
			Delta struct {
				Type string
				Text json.RawMessage
			}
			Usage map[string]json.RawMessage
		}
		json.Unmarshal([]byte(event), &e)
		switch e.Type {
		case "message_start":
			usage = string(e.Message.Usage)
		case "content_block_start":
			pieces[e.Index] = ""
			if e.ContentBlock.Type == "text" {
				pieces[e.Index] = strings.Trim(string(e.ContentBlock.Text), `"`)
			}
		case "content_block_delta":
			if e.Delta.Type == "text_delta" {
				pieces[e.Index] += string(e.Delta.Text[1 : len(e.Delta.Text)-1])
			}
		case "message_delta":
			usage = sum(t, usage, e.Usage)
		}
	}
	var all strings.Builder
	for i := range len(pieces) {
		all.WriteString(pieces[i])
	}
	if err := json.Unmarshal([]byte(`"`+all.String()+`"`), &text); err != nil {
		t.Fatal(err)
	}
	return text, usage
}

// wholeEvents yields the data of the events that have their blank line, and of a last one
// that lacks only that.
func wholeEvents(prefix string) iter.Seq[string] {
	events := strings.Split(lines(prefix), "\n\n")
	return func(yield func(string) bool) {
		for i, event := range events {
			_, data, ok := strings.Cut(event, "data: ")
			whole := i < len(events)-1 || json.Valid([]byte(data))
			if ok && whole && !yield(data) {
				return
			}
		}
	}
}

// lines turns all line ends into LF. A CR, with an LF that follows it, is one line end.
func lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// sum adds the counts of the message_delta events, in the order of the stream.
func sum(t *testing.T, usage string, more map[string]json.RawMessage) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(usage))
	decoder.Token()
	type count struct{ name, value string }
	var counts []count
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		decoder.Decode(&value)
		if newer, ok := more[name.(string)]; ok {
			if string(newer) != "null" {
				value = newer
			}
			delete(more, name.(string))
		}
		counts = append(counts, count{name.(string), string(value)})
	}
	var fresh []count
	for name, value := range more {
		fresh = append(fresh, count{name, string(value)})
	}
	slices.SortFunc(fresh, func(a, b count) int { return cmp.Compare(a.name, b.name) })
	var members []string
	for _, c := range append(counts, fresh...) {
		members = append(members, fmt.Sprintf("%q:%s", c.name, c.value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// The same holds for a connection that dies, or that is closed in good order.
func TestAConnectionCutBeforeTheFinishIsNoAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		whole := d.begin + d.some + d.finish
		for name, end := range map[string]http.HandlerFunc{"aborted": abort, "closed": func(http.ResponseWriter, *http.Request) {}} {
			t.Run(name, func(t *testing.T) {
				var cut int
				client := d.provide(t, func(w http.ResponseWriter, r *http.Request) { then(stream(whole[:cut]), end)(w, r) })
				for cut = 0; cut < len(whole); cut += 7 {
					if d.mayEnd(whole[:cut]) {
						generate(t, client, Request{})
						continue
					}
					failure := failure(t.Context(), t, client, Request{})
					text, _ := d.arrived(t, whole[:cut])
					if failure.Verdict != Retry || failure.PartialText != text || !failure.Sent {
						t.Fatalf("cut at %d: got %s with %q, sent %v; want %s with %q, sent", cut, failure.Verdict, failure.PartialText, failure.Sent, Retry, text)
					}
				}
			})
		}
	})
}

func TestPiecesOfAnySizeAreTheSameAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		client := d.offline(t)
		for name, recorded := range golden(t, d.protocol) {
			want, failure := receive(t, client, strings.NewReader(recorded))
			if failure != nil {
				t.Fatalf("%s: %v", name, failure)
			}
			got, failure := receive(t, client, iotest.OneByteReader(strings.NewReader(recorded)))
			if failure != nil {
				t.Fatalf("%s, byte by byte: %v", name, failure)
			}
			if string(got.Message) != string(want.Message) {
				t.Errorf("%s, byte by byte: got %s, want %s", name, got.Message, want.Message)
			}
		}
	})
}

func TestGarbageIsNoAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		client := d.offline(t)
		for name, garbage := range d.garbage {
			t.Run(name, func(t *testing.T) {
				answer, failure := receive(t, client, strings.NewReader(garbage))
				if failure == nil {
					t.Fatalf("got the answer %.500s, want an error", answer.Message)
				}
				if failure.Verdict != Retry || failure.Code != ringback.CodeStreamBroken {
					t.Fatalf("got %s, %s (%v), want %s, %s", failure.Verdict, failure.Code, failure, Retry, ringback.CodeStreamBroken)
				}
			})
		}
	})
}

func anthropicGarbage() map[string]string {
	return map[string]string{
		"a page of HTML":                           "<!doctype html>\n\n<title>Welcome</title>\n\n",
		"data that is not JSON":                    begin + block + some + event("[DONE]") + finish,
		"a known event whose data is not JSON":     begin + block + "event: content_block_delta\ndata: {\"type\n\n" + finish,
		"a stream of another protocol":             event(`{"id":"1","object":"chat.completion.chunk","choices":[]}`) + event("[DONE]"),
		"no beginning":                             block + some + finish,
		"two beginnings":                           begin + begin + block + some + finish,
		"a beginning without a message":            event(`{"type":"message_start"}`) + finish,
		"a piece of no block":                      begin + some + finish,
		"a piece without an index":                 begin + block + event(`{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}`) + finish,
		"a piece without a delta":                  begin + block + event(`{"type":"content_block_delta","index":0}`) + finish,
		"a piece of text that is no string":        begin + block + event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":1}}`) + finish,
		"a piece of input that is no string":       begin + block + event(`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":{}}}`) + finish,
		"a block that begins twice":                begin + block + block + some + finish,
		"a block that is none":                     begin + event(`{"type":"content_block_start","index":0,"content_block":"text"}`) + finish,
		"a known event that is no object":          begin + "event: message_stop\ndata: 1\n\n",
		"JSON that is nested a million times":      begin + event(strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)) + finish,
		"a message that is nested a million times": event(`{"type":"message_start","message":` + strings.Repeat(`{"a":`, 1_000_000) + "1" + strings.Repeat("}", 1_000_001)),
		"nothing": "",
	}
}

func TestAnAnswerWithoutStreamingIsTaken(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for name := range golden(t, d.protocol) {
			message := strings.TrimSpace(content(t, d.file(name)))
			answer := generate(t, d.provide(t, whole(200, message+"\n")), Request{})
			if string(answer.Message) != message || answer.Text != d.texts[name] || answer.FirstTokenAt.IsZero() {
				t.Errorf("%s: got %q, want the message as it is", name, answer.Message)
			}
			checkUsageAndModel(t, d, answer)
		}
	})
}

func TestAnAnswerOfBadBytesIsMadeGood(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		answer := generate(t, d.provide(t, whole(200, d.answer("a\xffb", ""))), Request{})
		if want := "a\uFFFDb"; answer.Text != want || !utf8.Valid(answer.Message) {
			t.Errorf("got %q in %q, want %q in UTF-8", answer.Text, answer.Message, want)
		}
	})
}

// The cost of an event with very many members is about linear in its length; if each were
// looked up among all others, this would take minutes.
func TestALongEventIsTaken(t *testing.T) {
	members := func(value string) string {
		var b strings.Builder
		for i := range 30_000 {
			fmt.Fprintf(&b, `,"m%d":%s`, i, value)
		}
		return b.String()
	}
	piece := func(value string) string {
		return `data: {"type":"content_block_delta","index":0,"delta":{"type":"new_delta"` + members(value) + "}}\n\n"
	}
	delta := `data: {"type":"message_delta","delta":{"a":1` + members("null") + "}}\n\n"
	recorded := begin + block + piece(`"x"`) + piece(`"y"`) + piece("null") + piece("1") + delta + delta + finish
	answer, failure := receive(t, offline(t), strings.NewReader(recorded))
	if failure != nil {
		t.Fatal(failure)
	}
	var message struct {
		Content []map[string]any
		M29999  any
	}
	message.M29999 = "absent"
	if err := json.Unmarshal(answer.Message, &message); err != nil {
		t.Fatal(err)
	}
	if got := message.Content[0]["m29999"]; got != 1.0 || message.M29999 != nil {
		t.Errorf("the last members: got %v in the block, %v in the message, want 1 and null", got, message.M29999)
	}
}

func TestAMemberThatComesTwiceIsSetOnce(t *testing.T) {
	recorded := begin + `data: {"type":"message_delta","delta":{"stop_reason":"a","x":1,"stop_reason":"b","x":2}}` + "\n\n" + "data: {\"type\":\"message_stop\"}\n\n"
	answer, failure := receive(t, offline(t), strings.NewReader(recorded))
	if failure != nil {
		t.Fatal(failure)
	}
	if n := strings.Count(string(answer.Message), `"stop_reason"`) + strings.Count(string(answer.Message), `"x"`); n != 2 {
		t.Errorf("got %s, want each member once", answer.Message)
	}
}

func checkUsageAndModel(t *testing.T, d dialect, answer *Answer) {
	t.Helper()
	var message struct {
		Model string
		Usage json.RawMessage
	}
	var want, usage any
	json.Unmarshal(answer.Message, &message)
	json.Unmarshal([]byte(d.counted(string(message.Usage))), &want)
	json.Unmarshal(answer.Usage, &usage)
	if diff := gocmp.Diff(want, usage); diff != "" || answer.Model != message.Model {
		t.Errorf("got the model %q, and the usage (-want +got):\n%s", answer.Model, diff)
	}
}

func TestUsageAlwaysHasItsTwoCounts(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		for have, want := range map[string]string{
			"":                                   `{"input_tokens":0,"output_tokens":0}`,
			`,"usage":{"output_tokens":7,"x":1}`: `{"output_tokens":7,"x":1,"input_tokens":0}`,
			`,"usage":{"input_tokens":null,"output_tokens":7}`: `{"input_tokens":0,"output_tokens":7}`,
			`,"usage":null`: `{"input_tokens":0,"output_tokens":0}`,
		} {
			answer := generate(t, d.provide(t, whole(200, d.answer("", have))), Request{})
			if string(answer.Usage) != want {
				t.Errorf("usage %q: got %s, want %s", have, answer.Usage, want)
			}
		}
	})
}

func FuzzAnthropicStream(f *testing.F) { fuzzStream(f, dialects[0]) }
func FuzzOpenAIStream(f *testing.F)    { fuzzStream(f, dialects[1]) }

// fuzzStream checks that no stream makes us panic, and that a stream is accepted as an
// answer only if it is one.
func fuzzStream(f *testing.F, d dialect) {
	for _, recorded := range golden(f, d.protocol) {
		f.Add([]byte(recorded))
		f.Add([]byte(recorded[:len(recorded)/2]))
	}
	client := d.offline(f)
	f.Fuzz(func(t *testing.T, recorded []byte) {
		answer, failure := receive(t, client, bytes.NewReader(recorded))
		if failure != nil {
			if !utf8.ValidString(failure.PartialText) || !utf8.ValidString(failure.Message) || failure.Code == "" {
				t.Fatalf("the error is not well formed: %#v", failure)
			}
			return
		}
		if !json.Valid(answer.Message) || !utf8.Valid(answer.Message) || !json.Valid(answer.Usage) {
			t.Fatalf("the message is not JSON: %s", answer.Message)
		}
		text, err := protocol.Text(d.protocol, answer.Message)
		if err != nil || text != answer.Text {
			t.Fatalf("Text: got %q and %v, want %q", text, err, answer.Text)
		}
	})
}

// Pieces written the way the maker writes them are read in one go; written in any other way
// they mean the same.
func TestAPieceMeansTheSameHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	client := dialects[0].offline(t)
	for name, recorded := range golden(t, "anthropic") {
		plain, plainFailure := receive(t, client, strings.NewReader(recorded))
		spaced, spacedFailure := receive(t, client, strings.NewReader(strings.ReplaceAll(recorded, `data: {"`, `data: { "`)))
		if got, want := fmt.Sprint(plainFailure), fmt.Sprint(spacedFailure); got != want {
			t.Errorf("%s: failed with %s, spaced with %s", name, got, want)
		}
		if plain == nil || spaced == nil {
			continue
		}
		if string(plain.Message) != string(spaced.Message) || plain.Text != spaced.Text {
			t.Errorf("%s: got %s, spaced %s", name, plain.Message, spaced.Message)
		}
	}
}
