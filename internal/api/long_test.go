package api_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/ringback/ringback"
)

func TestALongAnswerIsTheSameThroughEveryHandler(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	text := strings.Repeat("a \"long\" answer\\ \n\t<b>ü€😀\u2028</b> ", 10_000)
	prompt, err := json.Marshal(text)
	must(t, err)
	id := w.submit(`"prompt":` + string(prompt) + `,"stream":true,"model":"sim/echo"`)
	resp := w.do("GET", "/api/jobs/"+id+"?wait=30&include=request", "")
	body := resp.body
	if got := resp.Header.Get("Content-Length"); got != strconv.Itoa(len(body)) || body[len(body)-1] != '\n' {
		t.Errorf("Content-Length %s of %d bytes, which end in %q", got, len(body), body[len(body)-1])
	}
	var job ringback.Job
	must(t, json.Unmarshal([]byte(body), &job))
	var message, request struct {
		Content  []struct{ Text string }
		Messages []struct{ Content string }
	}
	must(t, json.Unmarshal(job.Response, &message))
	must(t, json.Unmarshal(job.Request, &request))
	if *job.Result != text || message.Content[0].Text != text || request.Messages[0].Content != text {
		t.Errorf("GET gave another answer or request: %.300s", body)
	}
	over, _ := messages(t, w.dial("/api/jobs/"+id+"/ws"))
	for transport, events := range map[string][]ringback.StreamEvent{"SSE": overSSE(w, id, ""), "WebSocket": over} {
		var pieces strings.Builder
		for _, e := range events {
			if e.Delta != nil {
				pieces.WriteString(e.Text)
			}
		}
		end := events[len(events)-1]
		if pieces.String() != text || end.Job == nil || end.Job.Result == nil || *end.Job.Result != text || end.Job.Response != nil {
			t.Errorf("over %s the answer is another one", transport)
		}
	}
}
