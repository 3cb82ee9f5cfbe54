package why

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ringback/ringback"
)

// A user reads in one place why a job has not arrived, and what to type.
func TestEveryReasonHasAWordAndARemedy(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	in := func(d time.Duration) ringback.Time { return ringback.Time{Time: now.Add(d)} }
	job := func(status ringback.Status, change func(*ringback.Job)) History {
		j := ringback.Job{ID: "j1", Status: status, Provider: "ezai", Model: "m", RequestedModel: "m", Attempts: 1, CreatedAt: in(-time.Hour), EndedAt: in(0), ExpiresAt: in(time.Hour)}
		change(&j)
		return History{Job: j, Attempts: []ringback.Attempt{{
			Number: 1, Provider: "ezai", Model: "m", StartedAt: in(-time.Minute), EndedAt: in(-time.Second), Outcome: ringback.AttemptFailed, StatusCode: 500, Error: "ezai said no.",
		}}}
	}
	waits := func(reason string) History {
		return job(ringback.Queued, func(j *ringback.Job) { j.StatusReason, j.RunAt = reason, in(30*time.Second) })
	}
	heldFor := func(by ringback.HeldBy) History {
		h := waits("provider_refused_key")
		h.Job.HeldBy = &by
		return h
	}
	fails := func(code ringback.ErrorDetailCode) History {
		return job(ringback.Failed, func(j *ringback.Job) {
			j.Error, j.ErrorDetail = "it went wrong", &ringback.ErrorDetail{Code: code}
		})
	}
	rings := func(d ringback.Delivery, tries ...ringback.Try) History {
		h := job(ringback.Completed, func(*ringback.Job) {})
		d.URL, d.Tries = "https://example.com/hook?token=t", tries
		h.Deliveries = []ringback.Delivery{d}
		return h
	}
	pending := ringback.Delivery{Status: ringback.DeliveryPending, NextTryAt: in(10 * time.Minute)}
	held := pending
	held.HostHold = &ringback.HostHold{Reason: "receiver_failing", Until: in(5 * time.Minute)}
	dead := func(reason ringback.DeadReason) ringback.Delivery {
		return ringback.Delivery{Status: ringback.DeliveryDead, Reason: reason}
	}
	names := Names{
		CommandLine: func(format string, args ...any) string { return "ringback " + fmt.Sprintf(format, args...) },
		KeyVariable: func(provider string) string { return strings.ToUpper(provider) + "_API_KEY" },
	}
	for name, c := range map[string]struct {
		h          History
		says, does string // parts of the sentences, and of the remedies
	}{
		"scheduled":          {waits("scheduled"), "waits for its run_at, at", "ringback jobs watch j1"},
		"retrying":           {waits("retrying"), "It had 1 attempt; the last failed (ezai said no). It is retried automatically. The next try is at", "jobs watch j1"},
		"rate limit":         {waits("provider_refused"), "ezai refuses calls of m for now (ezai said no). This costs no attempt", `ringback jobs cancel j1 && ringback jobs retry j1 --patch '{"model": "…"}'`},
		"breaker":            {waits("provider_failing"), "Calls of m at the provider ezai keep failing (ezai said no)", "jobs retry j1 --patch"},
		"refused key":        {waits("provider_refused_key"), "ezai refuses the server's key or account", "a valid key (EZAI_API_KEY, in its environment"},
		"held by another":    {heldFor(ringback.HeldBy{JobID: "j7", Model: "m7", Error: "ezai answered 403: no."}), "refuses the server's key or account (when it was called for m7, for job j7: ezai answered 403: no)", "EZAI_API_KEY"},
		"held by itself":     {heldFor(ringback.HeldBy{JobID: "j1", Model: "m", Error: "no"}), "(when it was called for m, for this job: no)", "EZAI_API_KEY"},
		"no provider":        {waits("provider_not_configured"), `No provider "ezai" is configured`, "providers.ezai in its file"},
		"its turn":           {waits(""), "waits for its turn", "jobs watch j1"},
		"being cancelled":    {job(ringback.Running, func(j *ringback.Job) { j.StatusReason = "cancel_requested" }), "is being cancelled", ""},
		"running":            {job(ringback.Running, func(*ringback.Job) {}), "The provider ezai is answering", "ringback jobs cancel j1"},
		"cancelled":          {job(ringback.Cancelled, func(*ringback.Job) {}), "It was cancelled", "ringback jobs retry j1"},
		"expired":            {job(ringback.Expired, func(*ringback.Job) {}), "Its expires_at (2026-11-23T10:00:00Z) passed before", "ringback jobs retry j1"},
		"rejected":           {fails(ringback.CodeProviderRejected), "It failed: it went wrong", "will never answer this request"},
		"no such model":      {fails(ringback.CodeModelNotFound), "It failed", `jobs retry j1 --patch '{"model": "…"}'`},
		"timeout":            {fails(ringback.CodeTimeout), "It failed", `--patch '{"timeout_seconds": 1800}'`},
		"answer too large":   {fails(ringback.CodeTooLarge), "It failed", `--patch '{"max_tokens": …}'`},
		"max_wait":           {fails(ringback.CodeMaxWait), "It failed", `--patch '{"max_wait_seconds": 86400}'`},
		"key, mid-answer":    {fails(ringback.CodeProviderRefusedKey), "It failed", "EZAI_API_KEY"},
		"uncertain":          {fails(ringback.CodeUncertain), "It failed", "paying for the answer twice"},
		"provider error":     {fails(ringback.CodeProviderError), "It failed", "when the provider has recovered"},
		"our fault":          {fails(ringback.CodeInternal), "It failed", "repeat it"},
		"replayed":           {job(ringback.Failed, func(j *ringback.Job) { j.ReplayedBy = "j2" }), "It was repeated by job j2", "ringback jobs show j2"},
		"no webhook":         {job(ringback.Completed, func(*ringback.Job) {}), "No webhook was requested", ""},
		"delivered":          {rings(ringback.Delivery{Status: ringback.DeliveryDelivered}), "was delivered to https://example.com.", ""},
		"not yet sent":       {rings(pending), "has not been tried yet", ""},
		"receiver down":      {rings(pending, ringback.Try{Error: "refused"}), "After 1 try: https://example.com refused the connection: nothing listens there (0 ms). The next try is at", "ringback jobs redeliver j1"},
		"receiver fails":     {rings(pending, ringback.Try{}, ringback.Try{Error: "status", StatusCode: 500, DurationMS: 12, Response: "oops\x1b"}), `After 2 tries: https://example.com answered 500 (12 ms): "oops`, "fix the receiver"},
		"wrong secret":       {rings(pending, ringback.Try{Error: "status", StatusCode: 401}), "answered 401", "ringback secret prints it"},
		"a redirect":         {rings(pending, ringback.Try{Error: "redirect", StatusCode: 302}), "a redirect, which is not followed", "make the URL respond itself"},
		"a closed address":   {rings(dead(ringback.DeadRefused), ringback.Try{Error: "blocked"}), "its address is closed to webhooks", "--allow-callback"},
		"too large":          {rings(dead(ringback.DeadTooLarge), ringback.Try{Error: "status", StatusCode: 413, WebhookBody: "thin"}), "413 in every form", "--webhook-body full"},
		"a held host":        {rings(held, ringback.Try{Error: "status", StatusCode: 500}), "https://example.com is held until", "ringback jobs redeliver j1 --to https://…"},
		"held before a try":  {rings(held), "has not been tried yet. https://example.com is held until", "even while the host is held: ringback jobs redeliver j1"},
		"no such host":       {rings(pending, ringback.Try{Error: "dns"}), "its name has no address", "If the URL is wrong, read the answer with --result"},
		"out of tries":       {rings(dead(ringback.DeadTries), ringback.Try{Error: "timeout", DurationMS: 10000}), "is a dead letter: all tries of the schedule failed. After 1 try: https://example.com did not answer in time (10 s)", "ringback jobs redeliver j1"},
		"too late":           {rings(dead(ringback.DeadExpired)), "its time ran out", "send it now"},
		"erased":             {rings(dead(ringback.DeadErased)), "was erased before it was delivered", ""},
		"a new sort of harm": {rings(pending, ringback.Try{Error: "gremlins"}), "failed: gremlins", "fix the receiver"},
	} {
		e := Explain(c.h, now, names)
		said := strings.Join(e.Sentences, " ")
		var done strings.Builder
		for _, r := range e.Remedies {
			fmt.Fprintf(&done, "%s: %s\n", r.What, r.Command)
		}
		if !strings.Contains(said, c.says) || !strings.Contains(done.String(), c.does) || c.does == "" && done.Len() > 0 {
			t.Errorf("%s: it says %q, want %q\nto do:\n%swant %q", name, said, c.says, done.String(), c.does)
		}
		if strings.Contains(said, "token=t") {
			t.Errorf("%s: the path of the URL, which may hold a secret, is in %q", name, said)
		}
	}
}
