package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPatchIsReadAsSettingsAndAMergePatchOfTheRest(t *testing.T) {
	t.Parallel()
	p, err := decodePatch([]byte(` {"model":"m", "timeout_seconds":9,"a\"b":{"c":null}, "priority":null, "temperature":null} `))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.Request), `{"model":"m","a\"b":{"c":null},"temperature":null}`; got != want {
		t.Errorf("merge patch: got %s, want %s", got, want)
	}
	if d := cmp.Diff([]string{"timeout_seconds", "priority"}, p.Given); d != "" || *p.Settings.TimeoutSeconds != 9 || p.Settings.Priority != nil {
		t.Errorf("settings: got %+v\n%s", p.Settings, d)
	}
	for body, field := range map[string]string{
		`{"prompt":"Hi"}`: "prompt", `{"params":{}}`: "params", `{"stream":true}`: "stream", `{"stream_to":"x"}`: "stream_to",
		`{"priority":"high"}`: "priority", `{"a":1,"a":2}`: "a", `[]`: "",
	} {
		_, err := decodePatch([]byte(body))
		_, form := outsideError(err)
		if form == nil || invalidBody(form).Field != field {
			t.Errorf("%s: got %v, want a fault of %q", body, err, field)
		}
	}
	for _, none := range []string{"", " ", "{}"} {
		if p, err := decodePatch([]byte(none)); err != nil || p.Request != nil || p.Given != nil {
			t.Errorf("%q: got %+v, %v, want nothing", none, p, err)
		}
	}
}
