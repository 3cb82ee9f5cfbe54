package api

import (
	"net/http"
	"testing"
	"time"
)

func TestAPreferredWaitIsReadAsTheStandardHasIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   time.Duration
		header []string
	}{
		{0, nil},
		{0, []string{"respond-async"}},
		{30 * time.Second, []string{"wait=30"}},
		{30 * time.Second, []string{`WAIT = "30"`}},
		{30 * time.Second, []string{"respond-async, wait=30"}},
		{30 * time.Second, []string{"respond-async", "wait=30"}},
		{30 * time.Second, []string{`foo="a, wait=1; \" b"; bar, wait=30; x=y, wait=5`}},
		{maxWait, []string{"wait=61"}},
		{maxWait, []string{"wait=99999"}},
		{0, []string{"wait=0"}},
		{0, []string{"wait"}},
		{0, []string{"wait=-1"}},
		{0, []string{"wait=1.5"}},
		{0, []string{"wait=x, wait=5"}}, // the first counts
		{0, []string{"wait=99999999999999999999"}},
		{0, []string{`"wait=3`}},
		{3 * time.Second, []string{",,;, wait=3"}},
	} {
		if got := preferredWait(http.Header{"Prefer": c.header}); got != c.want {
			t.Errorf("%q: got %v, want %v", c.header, got, c.want)
		}
	}
}
