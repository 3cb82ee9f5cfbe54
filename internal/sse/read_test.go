package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read collects a stream's events; Data must be copied to outlive its step.
func read(r io.Reader, limits Limits) (events []Event, err error) {
	for event, err := range Read(r, limits) {
		if err != nil {
			return events, err
		}
		event.Data = bytes.Clone(event.Data)
		events = append(events, event)
	}
	return events, nil
}

func message(data string) Event { return Event{Type: "message", Data: []byte(data)} }

func TestRead(t *testing.T) {
	for _, test := range []struct {
		name   string
		stream string
		want   []Event
	}{
		{"an empty stream has no events", "", nil},
		{"one line of data is one event", "data: hi\n\n", []Event{message("hi")}},
		{"one leading space is framing, a second one is data", "data:hi\n\ndata:  hi\n\n", []Event{message("hi"), message(" hi")}},
		{"lines of data are joined by LF", "data: a\ndata: b\ndata\n\n", []Event{message("a\nb\n")}},
		{"data may be empty", "data:\n\ndata\n\n", []Event{message(""), message("")}},
		{"a type without data is no event, and is forgotten", "event: x\n\ndata: a\n\n", []Event{message("a")}},
		{"the last of two types counts", "event: x\nevent: y\ndata: a\n\ndata: b\n\n", []Event{{Type: "y", Data: []byte("a")}, message("b")}},
		{"CR ends a line", "data: a\rdata: b\r\r", []Event{message("a\nb")}},
		{"CRLF ends a line", "data: a\r\ndata: b\r\n\r\n", []Event{message("a\nb")}},
		{"line ends may be mixed", "data: a\ndata: b\r\ndata: c\r\n\ndata: d\r\r\n", []Event{message("a\nb\nc"), message("d")}},
		{"a byte order mark at the start is no data", "\xEF\xBB\xBFdata: a\n\n", []Event{message("a")}},
		{"a byte order mark elsewhere is part of a name", "data: a\n\n\xEF\xBB\xBFdata: b\n\n", []Event{message("a")}},
		{"comments are dropped", ": hi\n:\ndata: a\n: in the middle\n\n:\n\n", []Event{message("a")}},
		{"unknown fields are dropped", "foo: bar\nData: no\n data: no\ndata: a\n\n", []Event{message("a")}},
		{
			"an id stays until another comes; one with NUL is none", "id: 1\ndata: a\n\ndata: b\n\nid: 2\x00\ndata: c\n\nid\ndata: d\n\n",
			[]Event{{Type: "message", ID: "1", Data: []byte("a")}, {Type: "message", ID: "1", Data: []byte("b")}, {Type: "message", ID: "1", Data: []byte("c")}, message("d")},
		},
		{"an id alone is no event, and stays", "id: 1\n\ndata: a\n\n", []Event{{Type: "message", ID: "1", Data: []byte("a")}}},
		{
			"retry is milliseconds in digits", "retry: 1500\n\ndata: a\n\nretry: 2s\nretry: -1\nretry: 99999999999999999999\nretry:\ndata: b\n\n",
			[]Event{{Type: "message", Data: []byte("a"), Retry: 1500 * time.Millisecond}, {Type: "message", Data: []byte("b"), Retry: 1500 * time.Millisecond}},
		},
		{"bytes that are not UTF-8 are replaced", "event: \xff\ndata: a\xffb\n\n", []Event{{Type: "\uFFFD", Data: []byte("a\uFFFDb")}}},
		{"only the first colon separates", "data: a: b\n\n", []Event{message("a: b")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":             strings.NewReader(test.stream),
				"byte by byte":        iotest.OneByteReader(strings.NewReader(test.stream)),
				"EOF with last bytes": iotest.DataErrReader(strings.NewReader(test.stream)),
			} {
				got, err := read(r, Limits{})
				if err != nil {
					t.Fatalf("read %s: %v", how, err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Fatalf("read %s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// Servers that fail send errors outside the framing.
func TestALooseStreamHasErrorsOutsideOfTheFraming(t *testing.T) {
	failed := Event{Type: "error", Data: []byte(`{"code":400}`)}
	for stream, want := range map[string][]Event{
		"data: a\n\nerror: {\"code\":400}\n\ndata: b\n\n":  {message("a"), failed, message("b")},
		"data: a\n\n{\"code\":400}\n\n":                    {message("a"), message(`{"code":400}`)},
		"{\"code\":400}\ndata: b\n\n":                      {message(`{"code":400}`), message("b")},
		"data: a\n\n{\n  \"code\": {\n  }\n}\ndata: b\n\n": {message("a"), message("{\n  \"code\": {\n  }\n}"), message("b")},
		"event: error\n{\"code\":400}\n\n":                 {failed},
		"data: {\ndata: }\n\n":                             {message("{\n}")},
		"id\nfoo: {}\n\ndata: a\n\n":                       {message("a")},
	} {
		if got, err := read(strings.NewReader(stream), Limits{Loose: true}); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q (-want +got):\n%s%v", stream, cmp.Diff(want, got), err)
		}
	}
	if got, err := read(strings.NewReader("error: {}\n\n{}\n\ndata: a\n\n"), Limits{}); err != nil || !cmp.Equal(got, []Event{message("a")}) {
		t.Errorf("a strict one: got %v, %v, want the one event", got, err)
	}
}

func TestCutAnywhere(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		stream := strings.ReplaceAll("event: a\ndata: 1\n\n: comment\n\nid: 7\ndata: 2\ndata: 3\n\ndata: 4\n\n", "\n", end)
		whole, err := read(strings.NewReader(stream), Limits{})
		if err != nil || len(whole) != 3 {
			t.Fatalf("whole stream: got %d events and %v, want 3 and none", len(whole), err)
		}
		for cut := range len(stream) {
			got, err := read(strings.NewReader(stream[:cut]), Limits{})
			if len(got) > len(whole) || !cmp.Equal(got, whole[:len(got)], cmpopts.EquateEmpty()) {
				t.Fatalf("cut after %q: got %v, want a prefix of %v", stream[:cut], got, whole)
			}
			want := error(nil)
			if insideEvent(stream[:cut]) {
				want = ErrCut
			}
			if !errors.Is(err, want) {
				t.Fatalf("cut after %q: got %v, want %v", stream[:cut], err, want)
			}
		}
	}
}

// insideEvent reports whether s ends inside a line, or after one that belongs to an event
// that has not ended.
func insideEvent(s string) bool {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	blocks := strings.Split(s, "\n\n")
	last := blocks[len(blocks)-1]
	return last != "" && last != "\n" && (!strings.HasSuffix(last, "\n") || !strings.HasPrefix(last, ":"))
}

func TestAnEventIsYieldedBeforeMoreIsRead(t *testing.T) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		r, w := io.Pipe()
		go io.WriteString(w, "data: a"+end+end) // the pipe accepts it once Read has read it
		got := ""
		for event, err := range Read(r, Limits{}) { // if more were waited for, this would hang
			if err != nil {
				t.Fatal(err)
			}
			got = string(event.Data)
			break
		}
		if got != "a" {
			t.Fatalf("got %q, want %q", got, "a")
		}
		r.Close()
	}
}

func TestLimits(t *testing.T) {
	limits := Limits{Line: 3000, Event: 4000}
	line := func(n int) string { return "data:" + strings.Repeat("x", n-len("data:")) }
	for _, test := range []struct {
		name   string
		stream io.Reader
		want   error
	}{
		{"a line at its limit is read", strings.NewReader(line(3000) + "\n\n"), nil},
		{"a line at its limit is read with CRLF", strings.NewReader(line(3000) + "\r\n\r\n"), nil},
		{"a line over its limit is not", strings.NewReader(line(3001) + "\n\n"), ErrTooLarge},
		{"a line without end is given up", endless("data: x"), ErrTooLarge},
		{"a comment without end is given up", endless(":"), ErrTooLarge},
		{"an event at its limit is read", strings.NewReader("data:" + strings.Repeat("x", 2000) + "\ndata:" + strings.Repeat("x", 1999) + "\n\n"), nil},
		{"an event over its limit is not", strings.NewReader("data:" + strings.Repeat("x", 2000) + "\ndata:" + strings.Repeat("x", 2000) + "\n\n"), ErrTooLarge},
		{"an event of lines without end is given up", endless("data\n"), ErrTooLarge},
		{"a reader that gives nothing is given up", silent{}, io.ErrNoProgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			events, err := read(test.stream, limits)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if test.want == nil && len(events) != 1 {
				t.Fatalf("got %d events, want 1", len(events))
			}
		})
	}
}

func TestSmallLimitsBindToo(t *testing.T) {
	if _, err := read(strings.NewReader("data: 1234567\n\n"), Limits{Line: 8}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("line: got %v, want ErrTooLarge", err)
	}
	if _, err := read(strings.NewReader("data: 1234567\n\n"), Limits{Event: 4}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("event: got %v, want ErrTooLarge", err)
	}
}

func TestGrowIsAskedForAllThatIsHeld(t *testing.T) {
	held := 0
	stream := "data: " + strings.Repeat("x", 100_000) + "\n\n"
	_, err := read(strings.NewReader(stream), Limits{Grow: func(n int) error { held += n; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if held < 2*100_000-2*firstBuffer || held > 4*100_000 {
		t.Fatalf("asked for %d bytes, want between what line and data need and twice that", held)
	}
	refused := errors.New("no more")
	if _, err := read(strings.NewReader(stream), Limits{Grow: func(int) error { return refused }}); !errors.Is(err, refused) {
		t.Fatalf("got %v, want the refusal", err)
	}
}

func TestAReadErrorIsPassedOn(t *testing.T) {
	broken := errors.New("broken")
	got, err := read(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), Limits{})
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Fatalf("got %d events and %v, want 1 and the error of the reader", len(got), err)
	}
}

func TestAnErrorThatWrapsEOFIsNoEnd(t *testing.T) {
	wraps := fmt.Errorf("reset by peer: %w", io.EOF)
	got, err := read(io.MultiReader(strings.NewReader("data: a\n\n"), iotest.ErrReader(wraps)), Limits{})
	if !errors.Is(err, wraps) || len(got) != 1 {
		t.Fatalf("got %d events and %v, want 1 and the error of the reader", len(got), err)
	}
}

// endless repeats a text forever.
func endless(text string) io.Reader { return &repeater{text: text} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at%len(r.text)]
		r.at++
	}
	return len(p), nil
}

// silent returns neither bytes nor an error.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

// FuzzRead checks that the pieces in which a stream arrives make no difference, and that
// limits and UTF-8 hold whatever arrives.
func FuzzRead(f *testing.F) {
	f.Add([]byte("event: a\ndata: 1\n\nid: 7\r\ndata: 2\r\rdata"), uint16(40))
	f.Add([]byte("\xEF\xBB\xBFretry: 1\ndata:\xff\n\n:\n"), uint16(3))
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16) {
		limits := Limits{Line: 1 + int(limit), Event: 1 + int(limit)}
		want, wantErr := read(bytes.NewReader(stream), limits)
		got, err := read(iotest.OneByteReader(bytes.NewReader(stream)), limits)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("byte by byte: got %v, want %v as at once", err, wantErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("byte by byte (-at once +got):\n%s", diff)
		}
		for _, event := range got {
			if !utf8.Valid(event.Data) || !utf8.ValidString(event.Type) || !utf8.ValidString(event.ID) {
				t.Fatalf("event %q is not UTF-8", event)
			}
		}
	})
}

// BenchmarkRead reads the stream of an answer of 4,000 tokens. The cost of an event here is
// paid for each token of each answer.
func BenchmarkRead(b *testing.B) {
	stream := strings.Repeat("event: content\ndata: {\"delta\":{\"text\":\" a few words\"}}\n\n", 4000)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range Read(strings.NewReader(stream), Limits{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// The part of an event that had arrived is returned with the error that cuts it off, and
// passed to Waits before more of it is waited for.
func TestAnEventThatIsCutOffIsNotLost(t *testing.T) {
	for stream, want := range map[string]string{
		"data: a\n\ndata: b":          "b",
		"data: a\n\ndata: b\n":        "b",
		"data: a\n\ndata: b\r":        "b",
		"data: a\n\ndata:b\nevent: x": "b",
		"data: a\n\ndata: b\ndata: c": "b\nc",
		"data: a\n\nevent: x\nda":     "",
		"data: a\n\ndata: ":           "",
	} {
		var told string
		var last Event
		var broke error
		for event, err := range Read(strings.NewReader(stream), Limits{Waits: func(data []byte) { told = string(data) }}) {
			last, broke = event, err
		}
		if !errors.Is(broke, ErrCut) || string(last.Data) != want {
			t.Errorf("%q: got %q and %v, want %q and ErrCut", stream, last.Data, broke, want)
		}
		if first, _, _ := strings.Cut(want, "\n"); told != first {
			t.Errorf("%q: Waits got %q, want %q", stream, told, first)
		}
	}
}
