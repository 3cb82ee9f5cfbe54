package provider

import (
	"strings"
	"testing"
)

// An error is an error wherever it arrives, and the part of the answer before it is kept.
func TestAnErrorIsOneWhereverItComes(t *testing.T) {
	choice := func(members string) string { return event(`{"choices":[{"index":0,"delta":{}` + members + `}]}`) }
	for name, row := range map[string]struct {
		sent   string
		before Verdict // where no part of an answer has arrived
		says   string
	}{
		"in a choice":                      {choice(`,"error":{"code":429,"message":"No room."}`), Hold, "No room."},
		"in a choice, as a sentence":       {choice(`,"error":"No room."`), Retry, "No room."},
		"beside its end":                   {choice(`,"finish_reason":"error","error":{"code":502,"message":"No room."}`), Retry, "No room."},
		"beside the choices":               {event(`{"error":{"code":502,"message":"No room."},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`), Retry, "No room."},
		"as the end error":                 {choice(`,"finish_reason":"error"`), Retry, "finish_reason error"},
		"as the end network_error":         {choice(`,"finish_reason":"network_error"`), Retry, "finish_reason network_error"},
		"as the end of DeepSeek":           {choice(`,"finish_reason":"insufficient_system_resource"`), Retry, "finish_reason insufficient_system_resource"},
		"as the end abort":                 {choice(`,"finish_reason":"abort"`), Retry, "finish_reason abort"},
		"as a field":                       {"error: {\"code\":429,\"message\":\"No room.\"}\n\n", Hold, "No room."},
		"as a field, of the request":       {"error: {\"code\":400,\"message\":\"Too long.\",\"type\":\"invalid_request_error\"}\n\n", Reject, "Too long."},
		"as base_resp":                     {event(`{"choices":null,"base_resp":{"status_code":1002,"status_msg":"No room."}}`), Hold, "No room."},
		"as base_resp beside a choice":     {event(`{"choices":[{"index":0,"delta":{"content":""}}],"base_resp":{"status_code":1013,"status_msg":"No room."}}`), Retry, "No room."},
		"outside of the framing":           {"{\"error\":{\"code\":429,\"message\":\"No room.\"}}\n", Hold, "No room."},
		"outside of the framing, in lines": {"{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"No room.\"\n  }\n}\n\n", Hold, "No room."},
		"as code and message":              {event(`{"code":429,"message":"No room."}`), Hold, "No room."},
		"as a code of its own":             {event(`{"code":"1302","message":"No room."}`), Hold, "No room."},
		"as detail":                        {event(`{"detail":"No room."}`), Retry, "No room."},
		"as object":                        {event(`{"object":"error","message":"No room."}`), Retry, "No room."},
		"as an event of text":              {"event: error\ndata: No room.\n\n", Retry, "No room."},
		"in a named event":                 {"event: completion\n" + event(`{"error":{"code":429,"message":"No room."}}`), Hold, "No room."},
	} {
		t.Run(name, func(t *testing.T) {
			for text, begun := range map[string]string{"": chunkBegin, "Some text": chunkBegin + chunkSome} {
				got := failure(t.Context(), t, ofOpenAI(t, stream(begun, row.sent, event("[DONE]"))), Request{})
				want := row.before
				if text != "" && want != Reject {
					want = Retry
				}
				if got.Verdict != want || got.PartialText != text || !strings.Contains(got.Message, row.says) {
					t.Errorf("behind %q: got %s, %q with %q, want %s, %q", text, got.Verdict, got.Message, got.PartialText, want, row.says)
				}
			}
		})
	}
}

func TestAnErrorIsOneInAWholeAnswerToo(t *testing.T) {
	for body, want := range map[string]struct {
		verdict       Verdict
		says, partial string
	}{
		`{"choices":[{"message":{"content":""},"finish_reason":"error","error":{"code":502,"message":"Gone."}}]}`: {Retry, "Gone.", ""},
		`{"choices":[{"message":{"content":""},"error":{"code":429,"message":"Gone."}}]}`:                         {Hold, "Gone.", ""},
		`{"choices":[{"message":{"content":"Half"},"error":{"code":429,"message":"Gone."}}]}`:                     {Retry, "Gone.", "Half"},
		`{"choices":[{"message":{"content":"Half"},"finish_reason":"network_error"}]}`:                            {Retry, "network_error", "Half"},
		`{"choices":[{"message":{"content":"A"},"finish_reason":"stop"},{"message":{},"finish_reason":"abort"}]}`: {Retry, "abort", "A"},
		`{"choices":[{"message":{"content":"Half"}}],"error":{"message":"Gone."}}`:                                {Retry, "Gone.", "Half"},
		`{"choices":[],"base_resp":{"status_code":1039,"status_msg":"Gone."}}`:                                    {Hold, "Gone.", ""},
	} {
		got := failure(t.Context(), t, ofOpenAI(t, whole(200, body)), Request{})
		if got.Verdict != want.verdict || got.PartialText != want.partial || !strings.Contains(got.Message, want.says) {
			t.Errorf("%s: got %s, %q with %q, want %s", body, got.Verdict, got.Message, got.PartialText, want.verdict)
		}
	}
	for _, finish := range []string{"stop", "length", "content_filter", "tool_calls", "something_new"} {
		answer := generate(t, ofOpenAI(t, whole(200, `{"error":null,"base_resp":{"status_code":0,"status_msg":""},"choices":[{"message":{"content":"Yes"},"error":null,"finish_reason":"`+finish+`"}]}`)), Request{})
		if answer.Text != "Yes" {
			t.Errorf("finish_reason %s: got %q, want the answer", finish, answer.Text)
		}
	}
}

func TestAnErrorIsOneWhereverItComesInMessages(t *testing.T) {
	stopped := func(reason string) string {
		return "event: message_delta\n" + event(`{"type":"message_delta","delta":{"stop_reason":"`+reason+`"},"usage":{"output_tokens":7}}`) + "event: message_stop\n" + event(`{"type":"message_stop"}`)
	}
	for name, row := range map[string]struct {
		sent   string
		before Verdict
		says   string
	}{
		"as a ping":                {"event: ping\n" + event(said("overloaded_error", "No room.")), Hold, "No room."},
		"without a name":           {event(said("overloaded_error", "No room.")), Hold, "No room."},
		"as an event of text":      {"event: error\ndata: No room.\n\n", Retry, "No room."},
		"as a field":               {"error: " + said("overloaded_error", "No room.") + "\n\n", Hold, "No room."},
		"outside of the framing":   {said("overloaded_error", "No room.") + "\n", Hold, "No room."},
		"as base_resp":             {event(`{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}`), HoldKey, "insufficient balance"},
		"as detail":                {event(`{"detail":"No room."}`), Retry, "No room."},
		"as the end error":         {stopped("error"), Retry, "stop_reason error"},
		"as the end network_error": {stopped("network_error"), Retry, "stop_reason network_error"},
		"as the end of DeepSeek":   {stopped("insufficient_system_resource"), Retry, "insufficient_system_resource"},
	} {
		for text, begun := range map[string]string{"": begin, "Some text": begin + block + some} {
			got := failure(t.Context(), t, provide(t, stream(begun, row.sent)), Request{})
			want := row.before
			if text != "" {
				want = Retry
			}
			if got.Verdict != want || got.PartialText != text || !strings.Contains(got.Message, row.says) {
				t.Errorf("%s behind %q: got %s, %q with %q, want %s, %q", name, text, got.Verdict, got.Message, got.PartialText, want, row.says)
			}
		}
	}
	for _, reason := range []string{"end_turn", "refusal", "pause_turn", "model_context_window_exceeded"} {
		if answer := generate(t, provide(t, stream(begin, block, some, stopped(reason))), Request{}); answer.Text != "Some text" {
			t.Errorf("stop_reason %s: got %q, want the answer", reason, answer.Text)
		}
	}
	got := failure(t.Context(), t, provide(t, whole(200, `{"type":"message","content":[{"type":"text","text":"Half"}],"stop_reason":"network_error"}`)), Request{})
	if got.Verdict != Retry || got.PartialText != "Half" {
		t.Errorf("a whole one: got %s with %q, want %s with what came", got.Verdict, got.PartialText, Retry)
	}
}
