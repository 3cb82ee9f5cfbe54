package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// dialect is a protocol with its test data. What holds for one protocol's streams is tested
// with all.
type dialect struct {
	protocol string
	texts    map[string]string // of each recorded answer
	// The parts of a small answer: some is a piece of text, "Some text".
	begin, ping, some, finish string
	// whole is a small answer without streaming; text is a placeholder for its text.
	whole string
	// speaks is in every stream that has a piece of the answer itself.
	speaks string
	// arrived returns text and usage of the whole events in a prefix of a stream, in the
	// plainest way possible.
	arrived func(t *testing.T, prefix string) (text, usage string)
	// counted adds our two counts to a usage in the protocol's terms.
	counted func(usage string) string
	// mayEnd reports whether a prefix contains the finish, which makes it an answer.
	mayEnd  func(prefix string) bool
	garbage map[string]string
}

var dialects = []dialect{
	{
		protocol: "anthropic", texts: anthropicTexts, begin: begin + block, ping: ping, some: some, finish: finish,
		whole:  `{"content":[{"type":"text","text":"$text"}]$more}`,
		speaks: "content_block_start", arrived: arrived, counted: func(usage string) string { return usage }, mayEnd: anthropicMayEnd, garbage: anthropicGarbage(),
	},
	{
		protocol: "openai", texts: openaiTexts, begin: chunkBegin, ping: ": ping\n\n", some: chunkSome, finish: chunkFinish,
		whole:  `{"choices":[{"message":{"content":"$text"}}]$more}`,
		speaks: "data", arrived: arrivedOpenAI, counted: countedOpenAI, mayEnd: openaiMayEnd, garbage: openaiGarbage(),
	},
}

// file returns the path of the recorded answer with that name.
func (d dialect) file(name string) string { return "testdata/" + d.protocol + "/" + name + ".json" }

// forEachProtocol runs a test with each protocol.
func forEachProtocol(t *testing.T, test func(t *testing.T, d dialect)) {
	for _, d := range dialects {
		t.Run(d.protocol, func(t *testing.T) { test(t, d) })
	}
}

func (d dialect) provide(t testing.TB, handler http.HandlerFunc) *Client {
	return provideTo(t, Config{Protocol: d.protocol}, handler)
}

func (d dialect) offline(t testing.TB) *Client {
	return clientOf(t, Config{Protocol: d.protocol, BaseURL: "http://127.0.0.1:1"})
}

// answer returns a small answer without streaming. more are further members.
func (d dialect) answer(text, more string) string {
	return strings.NewReplacer("$text", text, "$more", more).Replace(d.whole)
}

var openaiTexts = map[string]string{
	"deepseek_reasoning": "It is 21.",
	"llamacpp":           "Grüße 😀 \u2028 \" \\ \n\t<&>",
	"ollama_tools":       "",
	"openrouter":         "Seen.",
	"parts":              "Done.",
	"refusal":            "",
	"text":               "A webhook is a request that comes to you.",
	"tool_calls":         "",
	"vllm_two_choices":   "Yes!",
}

const (
	chunkBegin  = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	chunkSome   = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"Some text"},"finish_reason":null}]}` + "\n\n"
	chunkStop   = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	chunkFinish = chunkStop + "data: [DONE]\n\n"
)

// arrivedOpenAI is arrived for chat completions.
func arrivedOpenAI(t *testing.T, prefix string) (text, usage string) {
	raw := ""
	for event := range wholeEvents(prefix) {
		var e struct {
			Choices []struct {
				Index int
				Delta struct{ Content json.RawMessage }
			}
			Usage json.RawMessage
		}
		json.Unmarshal([]byte(event), &e)
		for _, choice := range e.Choices {
			if content := string(choice.Delta.Content); choice.Index == 0 && strings.HasPrefix(content, `"`) {
				raw += content[1 : len(content)-1]
			}
		}
		if counts := string(e.Usage); strings.HasPrefix(counts, "{") {
			usage = counts
		}
	}
	if err := json.Unmarshal([]byte(`"`+raw+`"`), &text); err != nil {
		t.Fatal(err)
	}
	if usage == "" {
		return text, ""
	}
	return text, countedOpenAI(usage)
}

func countedOpenAI(usage string) string {
	if usage == "" {
		return `{"input_tokens":0,"output_tokens":0}`
	}
	var counts struct {
		Prompt     json.RawMessage `json:"prompt_tokens"`
		Completion json.RawMessage `json:"completion_tokens"`
	}
	json.Unmarshal([]byte(usage), &counts)
	return strings.TrimSuffix(usage, "}") + `,"input_tokens":` + string(counts.Prompt) + `,"output_tokens":` + string(counts.Completion) + "}"
}

// openaiMayEnd reports whether all choices that have begun are over.
func openaiMayEnd(prefix string) bool {
	over := map[int]bool{}
	for event := range wholeEvents(prefix) {
		var e struct {
			Choices []struct {
				Index  int
				Finish string `json:"finish_reason"`
			}
		}
		json.Unmarshal([]byte(event), &e)
		for _, choice := range e.Choices {
			over[choice.Index] = over[choice.Index] || choice.Finish != ""
		}
	}
	for _, is := range over {
		if !is {
			return false
		}
	}
	return len(over) > 0
}

func event(data string) string { return "data: " + data + "\n\n" }

func openaiGarbage() map[string]string {
	delta := func(delta string) string { return event(`{"choices":[{"index":0,"delta":` + delta + `}]}`) }
	return map[string]string{
		"a page of HTML":                        "<!doctype html>\n\n<title>Welcome</title>\n\n",
		"data that is not JSON":                 chunkBegin + chunkSome + event("{") + chunkFinish,
		"a stream of another protocol":          begin + block + some + finish,
		"an end without a beginning":            event("[DONE]"),
		"an end in the middle":                  chunkBegin + chunkSome + event("[DONE]"),
		"an end of one choice of two":           chunkBegin + strings.ReplaceAll(chunkBegin, `"index":0`, `"index":1`) + chunkFinish,
		"choices that are no list":              chunkBegin + event(`{"choices":{}}`) + chunkFinish,
		"a choice that is no object":            chunkBegin + event(`{"choices":["a"]}`) + chunkFinish,
		"a delta that is no object":             chunkBegin + delta(`"Some"`) + chunkFinish,
		"a piece of text that is no string":     chunkBegin + delta(`{"content":1}`) + chunkFinish,
		"an object behind text":                 chunkBegin + chunkSome + delta(`{"content":{"a":1}}`) + chunkFinish,
		"a list behind a part's text":           chunkBegin + delta(`{"content":[{"index":0,"type":"text","text":"a"}]}`) + delta(`{"content":[{"index":0,"text":["b"]}]}`) + chunkFinish,
		"an object behind arguments":            chunkBegin + delta(`{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`) + delta(`{"tool_calls":[{"index":0,"function":{"arguments":{"a":1}}}]}`) + chunkFinish,
		"a choice before the first":             chunkBegin + strings.ReplaceAll(chunkSome, `"index":0`, `"index":-1`) + chunkFinish,
		"a piece of thought that is no string":  chunkBegin + delta(`{"reasoning_content":true}`) + chunkFinish,
		"tool calls that are no list":           chunkBegin + delta(`{"tool_calls":{"id":"x"}}`) + chunkFinish,
		"more parts than any answer has":        chunkBegin + delta(`{"tool_calls":[{"index":0}`+manyCalls()+`]}`) + chunkFinish,
		"JSON that is nested a million times":   chunkBegin + event(strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)) + chunkFinish,
		"a delta that is nested a million deep": chunkBegin + delta(strings.Repeat(`{"a":`, 1_000_000)+"1"+strings.Repeat("}", 1_000_000)),
		"nothing":                               "",
	}
}

func manyCalls() string {
	var b strings.Builder
	for i := range 2001 { // one more than an answer may have
		fmt.Fprintf(&b, `,{"index":%d,"id":"c%d","function":{"name":"f"}}`, i+1, i+1)
	}
	return b.String()
}
