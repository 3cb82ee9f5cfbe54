package protocol

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/sse"
)

// A provider that keeps many parts of an answer open must not make each of its events cost
// as much as all of them.
func TestAnEventOfAnAnswerWithManyPartsCostsNoMoreThanOfOneWithFew(t *testing.T) {
	const many, pieces = 1900, 20_000
	for name, c := range map[string]struct {
		begin func() Assembly
		part  func(i int) string // begins a part
		piece string             // continues the first one
	}{
		"tool calls of the openai protocol": {
			begin: func() Assembly { return newOpenAIAnswer([]byte(`{}`)) },
			part: func(i int) string {
				return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"call-%d","type":"function","function":{"name":"f","arguments":"{"}}]}}]}`, i, i)
			},
			piece: `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1"}}]}}]}`,
		},
		"content parts of the openai protocol": {
			begin: func() Assembly { return newOpenAIAnswer([]byte(`{}`)) },
			part: func(i int) string {
				return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":[{"index":%d,"type":"text","text":"a"}]}}]}`, i)
			},
			piece: `{"choices":[{"index":0,"delta":{"content":[{"index":0,"text":"1"}]}}]}`,
		},
		"choices of the openai protocol": {
			begin: func() Assembly { return newOpenAIAnswer([]byte(`{"n":1900}`)) },
			part:  func(i int) string { return fmt.Sprintf(`{"choices":[{"index":%d,"delta":{"content":"a"}}]}`, i) },
			piece: `{"choices":[{"index":0,"delta":{"content":"1"}}]}`,
		},
		"blocks of the anthropic protocol": {
			begin: func() Assembly {
				a := anthropic{}.Assemble([]byte(`{}`))
				_, err := a.Add(sse.Event{Data: []byte(`{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`)})
				if err != nil {
					t.Fatal(err)
				}
				return a
			},
			part: func(i int) string {
				return fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":"t-%d","name":"n","input":{}}}`, i, i)
			},
			piece: `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"1"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			took := func(parts int) time.Duration {
				a := c.begin()
				add := func(data string) {
					if _, err := a.Add(sse.Event{Data: []byte(data)}); err != nil {
						t.Fatal(err)
					}
					a.Emit(Emitter{To: func(ringback.Delta) {}})
				}
				for i := range parts {
					add(c.part(i))
				}
				began := time.Now()
				for range pieces {
					add(c.piece)
				}
				return time.Since(began)
			}
			few, all := took(1), took(many)
			t.Logf("%d pieces took %s with one part and %s with %d", pieces, few, all, many)
			if most := 5*few + time.Second; all > most {
				t.Errorf("%d pieces took %s with %d parts, want at most %s", pieces, all, many, most)
			}
		})
	}
}
