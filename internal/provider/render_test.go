package provider

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/protocol"
)

// The pieces of an answer that a call emits are enough to render its stream again: a call
// that gets that stream has the same answer.
func TestTheLogOfACallIsRenderedToAStreamOfTheSameAnswer(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		speaks, err := protocol.Lookup(d.protocol)
		if err != nil {
			t.Fatal(err)
		}
		for name, recorded := range golden(t, d.protocol) {
			t.Run(name, func(t *testing.T) {
				var log []protocol.Piece
				answer := generate(t, d.provide(t, stream(recorded)), Request{
					Delta: func(delta ringback.Delta) {
						log = append(log, protocol.Piece{Kind: protocol.PieceDelta, Delta: delta})
					},
					Frame: func(p protocol.Piece) {
						p.JSON = bytes.Clone(p.JSON)
						log = append(log, p)
					},
				})
				again := bytes.Join(slices.Collect(speaks.Render(slices.Values(log))), nil)
				rendered := generate(t, d.provide(t, stream(string(again))), Request{})
				if diff := gocmp.Diff(decodedJSON(t, answer.Message), decodedJSON(t, rendered.Message)); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
				if answer.Text != rendered.Text {
					t.Errorf("text: got %q, want %q", rendered.Text, answer.Text)
				}
			})
		}
	})
}

func decodedJSON(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// The stream that is rendered of an answer that breaks off must break off, too.
func TestTheLogOfABrokenAnswerHasNoEnd(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, d dialect) {
		recorded := golden(t, d.protocol)["text"]
		end := map[string]string{"anthropic": "content_block_stop", "openai": `"finish_reason":"`}[d.protocol]
		recorded = recorded[:strings.LastIndex(recorded[:strings.Index(recorded, end)], "data:")]
		var kinds []protocol.PieceKind
		failure(t.Context(), t, d.provide(t, stream(recorded)), Request{
			Delta: func(ringback.Delta) { kinds = append(kinds, protocol.PieceDelta) },
			Frame: func(p protocol.Piece) { kinds = append(kinds, p.Kind) },
		})
		if !slices.Contains(kinds, protocol.PieceStart) || !slices.Contains(kinds, protocol.PieceDelta) || slices.Contains(kinds, protocol.PieceEnd) {
			t.Errorf("got %q, want a start, some deltas and no end", kinds)
		}
	})
}
