package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocoltest"
)

// assembled assembles a stream and keeps its log.
func assembled(t interface {
	Helper()
	Fatalf(string, ...any)
}, d Dialect, stream string,
) (message json.RawMessage, log []Piece) {
	t.Helper()
	a := d.Assemble([]byte(`{"n":1}`))
	emitter := Emitter{
		To:    func(delta ringback.Delta) { log = append(log, Piece{Kind: PieceDelta, Delta: delta}) },
		Frame: func(p Piece) { log = append(log, Piece{Kind: p.Kind, Delta: p.Delta, JSON: bytes.Clone(p.JSON)}) },
	}
	protocoltest.Feed(t, stream, a.Add, func() { a.Emit(emitter) })
	emitter.Ended = true
	a.Emit(emitter)
	return a.Message(), log
}

// checkRendered checks that the stream rendered from the log of a stream has its message,
// and that its own log has the same deltas.
func checkRendered(t interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}, d Dialect, stream string,
) {
	t.Helper()
	want, log := assembled(t, d, stream)
	again := string(bytes.Join(slices.Collect(d.Render(slices.Values(log))), nil))
	got, logAgain := assembled(t, d, again)
	if diff := cmp.Diff(meant(t, want), meant(t, got)); diff != "" {
		t.Errorf("the message of the rendered stream (-want +got):\n%s\nstream:\n%s\nrendered:\n%s", diff, stream, again)
	}
	if diff := cmp.Diff(deltas(log), deltas(logAgain)); diff != "" {
		t.Errorf("the deltas of the rendered stream (-want +got):\n%s\nrendered:\n%s", diff, again)
	}
}

// meant returns the value of JSON, with the digits of its numbers.
func meant(t interface {
	Helper()
	Fatalf(string, ...any)
}, text []byte,
) (v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// deltas returns the texts of a log by their kind and index.
func deltas(log []Piece) map[string]string {
	texts := map[string]string{}
	for _, p := range log {
		if p.Kind == PieceDelta {
			texts[fmt.Sprint(p.Delta.Kind, p.Delta.Index)] += p.Delta.Text
		}
	}
	return texts
}

func TestAStreamIsRenderedAgainFromItsLog(t *testing.T) {
	for name, d := range dialects {
		files, err := filepath.Glob("../provider/testdata/" + name + "/*.sse")
		if err != nil || len(files) == 0 {
			t.Fatalf("recorded streams: got %d and %v, want some", len(files), err)
		}
		for _, file := range files {
			t.Run(name+"/"+filepath.Base(file), func(t *testing.T) {
				stream, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				checkRendered(t, d, string(stream))
			})
		}
	}
}

func TestAnyStreamIsRenderedAgainFromItsLog(t *testing.T) {
	for name, generate := range protocoltest.Streams {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { checkRendered(t, dialects[name], generate(t)) })
		})
	}
}
