package submit

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
)

// requestSamples give for each flag a value and what it puts into the request.
var requestSamples = map[string]struct{ text, want string }{
	"model": {"m", `"m"`}, "callback-url": {"https://e.com/", `"https://e.com/"`}, "max-tokens": {"5", `5`}, "system": {"Be brief.", `"Be brief."`},
	"metadata": {"a=b=c", `{"a":"b=c"}`}, "priority": {"9", `9`}, "run-at": {"90m", `"2026-11-23T10:30:00.000Z"`},
	"expires-at": {"2026-11-24T09:00:00+01:00", `"2026-11-24T08:00:00.000Z"`}, "fallback-model": {"n", `["n"]`}, "param": {"top_k=3", `{"top_k":3}`},
	"provider": {"p", `"p"`}, "provider-header": {"openai-beta=b", `{"openai-beta":"b"}`}, "timeout-seconds": {"6", `6`}, "max-attempts": {"7", `7`}, "max-wait-seconds": {"8", `8`}, "retry-uncertain": {"never", `"never"`},
	"stream-to": {"wss://e.com/", `"wss://e.com/"`}, "on-disconnect": {"cancel", `"cancel"`},
	"result-ttl-seconds": {"60", `60`}, "event": {"job.failed", `["job.failed"]`}, "webhook-body": {"thin", `"thin"`}, "callback-header": {"X-A=b", `{"X-A":"b"}`},
}

func TestEachFieldOfARequestHasAFlag(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	byField := map[string]string{}
	for _, f := range requestFlags {
		byField[f.field] = f.flag
	}
	for f := range reflect.TypeFor[ringback.Request]().Fields() {
		field, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if field == "prompt" || field == "messages" || field == "stream" {
			continue // the argument, or --request, or --stream, which does more
		}
		flag, ok := byField[field]
		if !ok {
			t.Errorf("no flag of submit is for %s", field)
			continue
		}
		delete(byField, field)
		sample, ok := requestSamples[flag]
		if !ok {
			t.Errorf("there is no sample for --%s", flag)
			continue
		}
		cmd := New()
		if err := cmd.Flags().Parse([]string{"--" + flag, sample.text}); err != nil {
			t.Fatal(err)
		}
		r, err := readRequest(cmd.Flags(), promptSource{args: []string{"Hi"}}, strings.NewReader(""), now)
		if err != nil {
			t.Errorf("--%s: %v", flag, err)
			continue
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"prompt": `"Hi"`, field: sample.want}, asTexts(got)); diff != "" {
			t.Errorf("--%s %s (-want +got):\n%s", flag, sample.text, diff)
		}
	}
	for field := range maps.Keys(byField) {
		t.Errorf("--%s is for %s, which no request has", byField[field], field)
	}
}

func asTexts(fields map[string]json.RawMessage) map[string]string {
	texts := map[string]string{}
	for name, value := range fields {
		texts[name] = string(value)
	}
	return texts
}

func TestListsAndObjectsTakeAFlagSeveralTimes(t *testing.T) {
	cmd := New()
	err := cmd.Flags().Parse([]string{"--fallback-model", "a", "--fallback-model", "b", "--metadata", "x=1", "--metadata", "y=", "--model", "m", "--model", "n"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := readRequest(cmd.Flags(), promptSource{args: []string{"Hi"}}, strings.NewReader(""), time.Now())
	if err != nil || !slices.Equal(r.FallbackModels, []string{"a", "b"}) || string(r.Metadata) != `{"x":"1","y":""}` || r.Model != "n" {
		t.Errorf("got %+v, %v", r, err)
	}
}
