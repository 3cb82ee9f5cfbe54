package api

import (
	"net/http/httptest"
	"testing"

	"github.com/ringback/ringback/internal/intake"
)

func TestTheKeyTellsWhoCalls(t *testing.T) {
	t.Parallel()
	operator := intake.Caller{Project: intake.DefaultProject, Role: intake.Operator}
	for name, c := range map[string]struct {
		key, shown string
		open       bool
		want       intake.Caller
		refused    bool
	}{
		"the key":                           {key: "k", shown: "k", want: operator},
		"another key":                       {key: "k", shown: "x", refused: true},
		"no key":                            {key: "k", refused: true},
		"no key, on an open route":          {key: "k", open: true, want: intake.Caller{Role: intake.Anonymous}},
		"the key, on an open route":         {key: "k", shown: "k", open: true, want: operator},
		"a server without a key":            {want: operator},
		"a server without a key, and a key": {shown: "x", want: operator},
	} {
		s := gate(t, Config{APIKey: c.key})
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if c.shown != "" {
			r.Header.Set("Authorization", "Bearer "+c.shown)
		}
		got, err := s.identify(r, &route{open: c.open})
		if (err != nil) != c.refused || got != c.want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
