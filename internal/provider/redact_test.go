package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringback/ringback"
)

func TestAUsageBeyondItsBoundIsItsCounts(t *testing.T) {
	many := strings.Repeat(`"n1":1e999,`, 300_000)
	for name, c := range map[string]struct{ usage, want string }{
		"a long member": {
			`{"prompt_tokens":3,"completion_tokens":2,"note":"` + strings.Repeat("x", 2<<20) + `","total_tokens":5}`,
			`{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"input_tokens":3,"output_tokens":2}`,
		},
		"many members":   {`{` + many + `"completion_tokens":2}`, `{"completion_tokens":2,"output_tokens":2,"input_tokens":0}`},
		"a long number":  {`{"prompt_tokens":0.` + strings.Repeat("0", 2<<20) + `1,"completion_tokens":2}`, `{"completion_tokens":2,"output_tokens":2,"input_tokens":0}`},
		"the key":        {`{"prompt_tokens":3,"note":"` + testKey + `"}`, `{"prompt_tokens":3,"input_tokens":3,"output_tokens":0}`},
		"the key inside": {`{"prompt_tokens":3,"a":[{"b":"is ` + testKey + `"}]}`, `{"prompt_tokens":3,"input_tokens":3,"output_tokens":0}`},
		"an escaped key": {`{"prompt_tokens":3,"note":"\u0073` + testKey[1:] + `"}`, `{"prompt_tokens":3,"input_tokens":3,"output_tokens":0}`},
		"a key as name":  {`{"prompt_tokens":3,"` + testKey + `":1}`, `{"prompt_tokens":3,"input_tokens":3,"output_tokens":0}`},
	} {
		answer := generate(t, ofOpenAI(t, whole(200, `{"choices":[{"message":{"content":"Yes"}}],"usage":`+c.usage+`}`)), Request{})
		if string(answer.Usage) != c.want {
			t.Errorf("%s:\n got %.300s\nwant %s", name, answer.Usage, c.want)
		}
		broken := failure(t.Context(), t, ofOpenAI(t, stream(chunkBegin, chunkSome, `data: {"choices":[],"usage":`+c.usage+"}\n\n")), Request{})
		if broken.PartialUsage == nil || len(broken.PartialUsage) > maxUsage || strings.Contains(string(broken.PartialUsage), testKey) {
			t.Errorf("%s, of a broken answer: got %.300s", name, broken.PartialUsage)
		}
	}
}

func TestAModelBeyondItsBoundIsCut(t *testing.T) {
	model := `sim\n` + testKey + strings.Repeat("m", 2<<20)
	answer := generate(t, ofOpenAI(t, whole(200, `{"model":"`+model+`","choices":[{"message":{"content":"Yes"}}]}`)), Request{})
	if len(answer.Model) > maxModel || !strings.HasPrefix(answer.Model, "sim [key]mmm") {
		t.Errorf("got a model of %d bytes, %.60q", len(answer.Model), answer.Model)
	}
}

func TestTheKeyIsInNothingOfAnAnswer(t *testing.T) {
	said := "Your key is " + testKey + "."
	events := stream(fmt.Sprintf(`data: {"id":"%[1]s","model":"%[1]s","choices":[{"index":0,"delta":{"role":"assistant","content":"%[2]s"}}]}`+"\n\n", testKey, said),
		fmt.Sprintf(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"x":"%s"}}`+"\n\n", testKey), "data: [DONE]\n\n")
	for name, handler := range map[string]*Client{
		"streamed": ofOpenAI(t, events),
		"whole": ofOpenAI(t, whole(200, fmt.Sprintf(
			`{"id":"%[1]s","model":"%[1]s","choices":[{"message":{"content":"%[2]s"}}],"usage":{"x":"%[1]s"}}`, testKey, said))),
	} {
		var told strings.Builder
		answer := generate(t, handler, Request{Delta: func(d ringback.Delta) { told.WriteString(d.Text) }})
		all := fmt.Sprint(string(answer.Message), answer.Text, answer.Model, string(answer.Usage), answer.RequestID, told.String())
		if strings.Contains(all, testKey) {
			t.Errorf("%s: the key is in %s", name, all)
		}
		if want := "Your key is [key]."; answer.Text != want || told.String() != want {
			t.Errorf("%s: got text %q, emitted as %q, want %q", name, answer.Text, told.String(), want)
		}
	}
}
