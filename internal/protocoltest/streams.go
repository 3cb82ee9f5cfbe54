// Package protocoltest has what the tests of several packages need of the protocols.
package protocoltest

import (
	"encoding/json"
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Streams draw streams of answers, by the name of their protocol: with text, thoughts and
// their signatures, tool calls, citations, the results of a provider's own tools, refusals,
// and unknown blocks.
var Streams = map[string]func(*rapid.T) string{"anthropic": anthropicStream, "openai": openaiStream}

// js returns a value as JSON.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func drawTexts(t *rapid.T, label string) []string {
	return rapid.SliceOfN(rapid.StringN(0, 12, 40), 0, 4).Draw(t, label)
}

// drawObject returns a small JSON object, cut into pieces of whole characters.
func drawObject(t *rapid.T, label string) []string {
	text := js(rapid.MapOfN(rapid.StringN(1, 4, 8), rapid.StringN(0, 4, 8), 1, 3).Draw(t, label))
	runes := []rune(text)
	at := rapid.IntRange(0, len(runes)).Draw(t, label+" cut")
	return []string{string(runes[:at]), string(runes[at:])}
}

func anthropicStream(t *rapid.T) string {
	var s strings.Builder
	event := func(kind, rest string) {
		fmt.Fprintf(&s, "event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, rest)
	}
	event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}`)
	for i := range rapid.IntRange(0, 5).Draw(t, "blocks") {
		start := func(block string) {
			event("content_block_start", fmt.Sprintf(`,"index":%d,"content_block":%s`, i, block))
		}
		delta := func(delta string) { event("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":%s`, i, delta)) }
		switch kind := rapid.SampledFrom([]string{"text", "cited", "thinking", "redacted", "tool_use", "server_tool_use", "result", "unknown"}).Draw(t, "kind"); kind {
		case "text":
			start(`{"type":"text","text":` + js(rapid.SampledFrom([]string{"", "Begun "}).Draw(t, "begun")) + `}`)
			for _, text := range drawTexts(t, "text") {
				delta(`{"type":"text_delta","text":` + js(text) + `}`)
			}
		case "cited":
			start(`{"type":"text","text":"","citations":[]}`)
			for n, text := range drawTexts(t, "text") {
				delta(fmt.Sprintf(`{"type":"citations_delta","citation":{"type":"char_location","cited_text":%s,"document_index":%d}}`, js(text), n))
				delta(`{"type":"text_delta","text":` + js(text) + `}`)
			}
		case "thinking":
			start(`{"type":"thinking","thinking":"","signature":""}`)
			for _, text := range drawTexts(t, "thinking") {
				delta(`{"type":"thinking_delta","thinking":` + js(text) + `}`)
			}
			delta(`{"type":"signature_delta","signature":"EqQBCg=="}`)
		case "redacted":
			start(`{"type":"redacted_thinking","data":"EmwKAh=="}`)
		case "tool_use", "server_tool_use":
			start(fmt.Sprintf(`{"type":%q,"id":"toolu_%d","name":"look","input":{}}`, kind, i))
			for _, piece := range drawObject(t, "input") {
				delta(`{"type":"input_json_delta","partial_json":` + js(piece) + `}`)
			}
		case "result":
			start(fmt.Sprintf(`{"type":"web_search_tool_result","tool_use_id":"toolu_%d","content":[{"type":"web_search_result","url":"https://a.example","encrypted_content":"x"}]}`, i))
		case "unknown":
			start(`{"type":"of_tomorrow","note":"a","list":[1]}`)
			delta(`{"type":"of_tomorrow_delta","note":"b","list":[1,2.50]}`)
		}
		event("content_block_stop", fmt.Sprintf(`,"index":%d`, i))
	}
	reason := rapid.SampledFrom([]string{"end_turn", "max_tokens", "tool_use", "refusal", "pause_turn"}).Draw(t, "reason")
	event("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":15,"server_tool_use":{"web_search_requests":1}}`, reason))
	event("message_stop", "")
	return s.String()
}

func openaiStream(t *rapid.T) string {
	var s strings.Builder
	chunk := func(choice string) {
		fmt.Fprintf(&s, "data: {\"id\":\"c_1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[%s]}\n\n", choice)
	}
	delta := func(delta string) { chunk(`{"index":0,"delta":` + delta + `,"finish_reason":null}`) }
	delta(`{"role":"assistant","content":` + rapid.SampledFrom([]string{`null`, `""`}).Draw(t, "content") + `}`)
	thoughts := rapid.SampledFrom([]string{"reasoning_content", "reasoning"}).Draw(t, "thoughts")
	for _, text := range drawTexts(t, "thinking") {
		delta(`{` + js(thoughts) + `:` + js(text) + `}`)
	}
	for _, text := range drawTexts(t, "text") {
		delta(`{"content":` + js(text) + `}`)
	}
	for _, text := range drawTexts(t, "refusal") {
		delta(`{"refusal":` + js(text) + `}`)
	}
	if rapid.Bool().Draw(t, "cited") {
		delta(`{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example","start_index":0}}]}`)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "calls") {
		pieces := drawObject(t, "arguments")
		delta(fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":"call_%d","type":"function","function":{"name":"look","arguments":""}}]}`, i, i))
		for _, piece := range pieces {
			delta(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, i, js(piece)))
		}
	}
	if rapid.Bool().Draw(t, "another choice") {
		chunk(`{"index":1,"delta":{"role":"assistant","content":"Another"},"finish_reason":null}`)
		chunk(`{"index":1,"delta":{},"finish_reason":"stop"}`)
	}
	reason := rapid.SampledFrom([]string{"stop", "length", "tool_calls", "content_filter"}).Draw(t, "reason")
	chunk(fmt.Sprintf(`{"index":0,"delta":{},"logprobs":null,"finish_reason":%q}`, reason))
	s.WriteString(`data: {"id":"c_1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":15}}` + "\n\ndata: [DONE]\n\n")
	return s.String()
}
