package provider

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// Servers omit, repeat and change what distinguishes the calls. Each row is the tool_calls
// of one chunk after another.
func TestAPieceOfAToolCallGoesOnWithTheCallThatItBelongsTo(t *testing.T) {
	one := [][3]string{{"a", "f", `{"x":1}`}}
	two := [][3]string{{"a", "f", `{"x":1}`}, {"b", "g", `{"y":2}`}}
	same := [][3]string{{"a", "f", `{"x":1}`}, {"b", "f", `{"x":2}`}}
	for name, row := range map[string]struct {
		chunks []string
		want   [][3]string
	}{
		"as the protocol says": {[]string{`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}`, `{"index":0,"function":{"arguments":"{\"x\""}}`, `{"index":0,"function":{"arguments":":1}"}}`}, one},
		"without an index":     {[]string{`{"id":"a","function":{"name":"f","arguments":""}}`, `{"function":{"arguments":"{\"x\""}}`, `{"function":{"arguments":":1}"}}`}, one},
		"an index of null":     {[]string{`{"index":null,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":null,"function":{"arguments":"{\"x\""}}`, `{"index":null,"function":{"arguments":":1}"}}`}, one},
		"an index as a string": {[]string{`{"index":"0","id":"a","function":{"name":"f","arguments":"{\"x\""}}`, `{"index":"0","function":{"arguments":":1}"}}`}, one},
		"two, as strings":      {[]string{`{"index":"0","id":"a","function":{"name":"f","arguments":""}},{"index":"1","id":"b","function":{"name":"g","arguments":""}}`, `{"index":"0","function":{"arguments":"{\"x\":1}"}}`, `{"index":"1","function":{"arguments":"{\"y\":2}"}}`}, two},
		"an index that drifts": {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"function":{"arguments":"{\"x\""}}`, `{"index":2,"function":{"arguments":":1}"}}`}, one},
		"two that drift": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"function":{"arguments":"{\"x\""}}`, `{"index":2,"function":{"arguments":":1}"}}`,
			`{"index":3,"id":"b","function":{"name":"g","arguments":""}}`, `{"index":4,"function":{"arguments":"{\"y\""}}`, `{"index":5,"function":{"arguments":":2}"}}`,
		}, two},
		"two that drift over each other": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"function":{"arguments":"{\"x\""}}`, `{"index":2,"function":{"arguments":":1}"}}`,
			`{"index":1,"id":"b","function":{"name":"g","arguments":""}}`, `{"index":2,"function":{"arguments":"{\"y\""}}`, `{"index":3,"function":{"arguments":":2}"}}`,
		}, two},
		"an index that collides":              {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":0,"id":"b","function":{"name":"g","arguments":""}}`, `{"index":1,"function":{"arguments":"{\"y\":2}"}}`}, two},
		"an index that collides in its input": {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":1,"id":"b","function":{"name":"g","arguments":""}}`, `{"index":0,"function":{"arguments":"{\"y\":2}"}}`}, two},
		"all of them 0": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":0,"function":{"arguments":"{\"x\":1}"}}`,
			`{"index":0,"id":"b","function":{"name":"g","arguments":""}}`, `{"index":0,"function":{"arguments":"{\"y\":2}"}}`,
		}, two},
		"in turn": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"id":"b","function":{"name":"g","arguments":""}}`,
			`{"index":0,"function":{"arguments":"{\"x\""}}`, `{"index":1,"function":{"arguments":"{\"y\""}}`, `{"index":0,"function":{"arguments":":1}"}}`, `{"index":1,"function":{"arguments":":2}"}}`,
		}, two},
		"in turn, of one function": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":1,"id":"b","function":{"name":"f","arguments":""}}`,
			`{"index":1,"function":{"arguments":"{\"x\""}},{"index":0,"function":{"arguments":"{\"x\":1}"}}`, `{"index":1,"function":{"arguments":":2}"}}`,
		}, same},
		"an id in each piece": {[]string{
			`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":0,"id":"b","function":{"name":"g","arguments":""}}`,
			`{"index":0,"id":"a","function":{"arguments":"{\"x\":1}"}}`, `{"index":0,"id":"b","function":{"arguments":"{\"y\":2}"}}`,
		}, two},
		"a new id in each piece":             {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":0,"id":"b","function":{"arguments":"{\"x\""}}`, `{"index":0,"id":"c","function":{"arguments":":1}"}}`}, one},
		"a new id and index in each piece":   {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"id":"b","function":{"name":null,"arguments":"{\"x\""}}`, `{"index":2,"id":"c","function":{"name":"","arguments":":1}"}}`}, one},
		"the name in each piece":             {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":0,"function":{"name":"f","arguments":"{\"x\""}}`, `{"index":0,"function":{"name":"f","arguments":":1}"}}`}, one},
		"id and name in each piece":          {[]string{`{"id":"a","function":{"name":"f","arguments":"{"}}`, `{"id":"a","function":{"name":"f","arguments":"\"x\""}}`, `{"id":"a","function":{"name":"f","arguments":":1}"}}`}, one},
		"an empty id and name behind":        {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}`, `{"index":0,"id":"","type":"","function":{"name":"","arguments":":1}"}}`}, one},
		"an index and an end of nothing":     {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":1,"id":"z","function":{"arguments":""}}`, `{"index":1,"function":{}}`}, one},
		"beginning and input in one chunk":   {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}},{"index":0,"function":{"arguments":"{\"x\":1}"}}`}, one},
		"the whole twice in one chunk":       {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}},{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`}, one},
		"the whole again at the end":         {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}`, `{"index":0,"function":{"arguments":":1}"}}`, `{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`}, one},
		"whole calls, one a chunk":           {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\":2}"}}`}, same},
		"whole calls without index":          {[]string{`{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","function":{"name":"g","arguments":"{\"y\":2}"}}`}, two},
		"whole calls without id":             {[]string{`{"index":0,"function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":0,"function":{"name":"f","arguments":"{\"x\":2}"}}`}, [][3]string{{"", "f", `{"x":1}`}, {"", "f", `{"x":2}`}}},
		"one id for all":                     {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`, `{"index":1,"id":"a","function":{"name":"g","arguments":"{\"y\":2}"}}`}, [][3]string{{"a", "f", `{"x":1}`}, {"a", "g", `{"y":2}`}}},
		"input as an object":                 {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":{"x": 1}}}`}, one},
		"inputs as objects, without indices": {[]string{`{"id":"a","function":{"name":"f","arguments":{"x":1}}}`, `{"id":"b","function":{"name":"g","arguments":{"y":2}}}`}, two},
		"input that comes before the name":   {[]string{`{"index":0,"id":"a"}`, `{"index":0,"function":{"name":"f"}}`, `{"index":0,"function":{"arguments":"{\"x\":1}"}}`}, one},
		"brackets within strings":            {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\"}\\\"}"}}`, `{"index":7,"function":{"arguments":"\"}"}}`}, [][3]string{{"a", "f", `{"x":"}\"}"}`}}},
		"without any input":                  {[]string{`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`, `{"index":1,"id":"b","function":{"name":"g","arguments":""}}`}, [][3]string{{"a", "f", ""}, {"b", "g", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			var sent strings.Builder
			for _, chunk := range row.chunks {
				sent.WriteString(event(`{"choices":[{"index":0,"delta":{"tool_calls":[` + chunk + `]}}]}`))
			}
			sent.WriteString(event(`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`) + event("[DONE]"))
			answer := generate(t, ofOpenAI(t, stream(sent.String())), Request{}) // which also compares what watchers see
			var got [][3]string
			for _, call := range gjson.GetBytes(answer.Message, "choices.0.message.tool_calls").Array() {
				got = append(got, [3]string{call.Get("id").Str, call.Get("function.name").Str, call.Get("function.arguments").Str})
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s%s", diff, answer.Message)
			}
		})
	}
}
