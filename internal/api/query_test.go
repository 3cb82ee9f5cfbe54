package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/reading"
)

var listParameters = []string{"limit", "cursor", "status", "model", "webhook", "created_after", "created_before", metadataPrefix}

func TestAListIsSelectedByItsQuery(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]reading.JobQuery{
		"":                                             {Limit: 20},
		"limit=&cursor=&status=&model=":                {Limit: 20},
		"limit=100&cursor=abc":                         {Limit: 100, Cursor: "abc"},
		"status=failed&model=a%2Fb":                    {Limit: 20, Status: ringback.Failed, Model: "a/b"},
		"webhook=none":                                 {Limit: 20, Webhook: ringback.NoDelivery},
		"metadata.team=blue&metadata.a.b=":             {Limit: 20, Metadata: map[string]string{"team": "blue", "a.b": ""}},
		"created_after=2026-01-31T18:00:00Z":           {Limit: 20, CreatedAfter: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)},
		"created_after=2026-01-31T19:00:00+01:00":      {Limit: 20, CreatedAfter: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)},
		"created_after=2026-01-31t18:00:00z":           {Limit: 20, CreatedAfter: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)},
		"created_after=2026-01-31+19:00:00+01:00":      {Limit: 20, CreatedAfter: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)},
		"created_before=2026-01-31T18:00:00.5%2B00:00": {Limit: 20, CreatedBefore: time.Date(2026, 1, 31, 18, 0, 0, 5e8, time.UTC)},
	} {
		q, err := readQuery(raw, listParameters)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got, err := jobQuery(q)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", raw, d)
		}
	}
}

func TestAQueryIsRefusedByName(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct{ field, message string }{
		"page=2":                         {"page", "page is not a query parameter here; there are limit, cursor, status, model, webhook, created_after, created_before, metadata.KEY"},
		"metadata.=x":                    {"metadata.", "metadata. is not a query parameter here; there are limit, cursor, status, model, webhook, created_after, created_before, metadata.KEY"},
		"limit=1&limit=2":                {"limit", "limit is given more than once; give it once"},
		"limit=0":                        {"limit", "limit must be a whole number from 1 to 100"},
		"limit=101":                      {"limit", "limit must be a whole number from 1 to 100"},
		"limit=all":                      {"limit", "limit must be a whole number from 1 to 100"},
		"status=done":                    {"status", "status must be one of queued, running, completed, failed, cancelled, expired"},
		"webhook=lost":                   {"webhook", "webhook must be one of pending, delivered, dead, none"},
		"created_after=monday":           {"created_after", "created_after must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"},
		"created_after=2026-01-31+10:00": {"created_after", "created_after must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"},
		"created_before=1":               {"created_before", "created_before must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"},
		"a=%zz":                          {"", "the query is not valid: write special characters as %XX, and join parameters by &"},
		"a;b":                            {"", "the query is not valid: write special characters as %XX, and join parameters by &"},
	} {
		q, err := readQuery(raw, listParameters)
		if err == nil {
			_, err = jobQuery(q)
		}
		checkFormError(t, raw, err, want.field, want.message)
	}
	_, err := readQuery("x=1", nil)
	checkFormError(t, "none", err, "x", "x is not a query parameter here; there are none")
}

func TestAWaitIsWrittenInSecondsOrWithAUnit(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]time.Duration{
		"": 0, "wait=": 0, "wait=0": 0, "wait=30": 30 * time.Second, "wait=30s": 30 * time.Second, "wait=60": time.Minute,
		"wait=1m": time.Minute, "wait=250ms": 250 * time.Millisecond,
	} {
		q, err := readQuery(raw, []string{"wait"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.wait(); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", raw, got, err, want)
		}
	}
	for _, raw := range []string{"wait=61", "wait=61s", "wait=-1", "wait=-1s", "wait=long", "wait=9223372037", "wait=99999999999999999999", "wait=1.5"} {
		q, err := readQuery(raw, []string{"wait"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.wait()
		checkFormError(t, raw, err, "wait", "wait must be from 0 to 60 seconds, such as 30 or 30s")
	}
}
