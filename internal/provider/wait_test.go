package provider

import (
	"maps"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// A time to wait is found wherever it is named, in the maker's unit.
func TestATimeToWaitIsReadWhereverItIsNamed(t *testing.T) {
	inMillis := strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10)
	for name, row := range map[string]struct {
		status int
		header http.Header
		body   string
		want   time.Duration
	}{
		"seconds with a unit":        {429, http.Header{"Retry-After": {"30s"}}, "", 30 * time.Second},
		"seconds of a 503":           {503, http.Header{"Retry-After": {"5s"}}, "<html>busy</html>", 5 * time.Second},
		"RetryInfo":                  {429, nil, `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Quota.","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"}]}}]`, 37 * time.Second},
		"in a message":               {429, nil, `{"error":{"message":"Rate limit reached. Please try again in 5.289s. Visit us."}}`, 5289 * time.Millisecond},
		"in a message, minutes":      {429, nil, `{"error":{"message":"Please try again in 1m2s."}}`, 62 * time.Second},
		"in a message, milliseconds": {429, nil, `{"error":{"message":"Please try again in 20ms."}}`, 20 * time.Millisecond},
		"in a message, in words":     {429, nil, `{"error":{"message":"Please retry after 30 seconds."}}`, 30 * time.Second},
		"in a message of Gemini":     {429, nil, `{"error":{"message":"Please retry in 37.5s."}}`, 37500 * time.Millisecond},
		"in a message of a 529":      {529, nil, `{"error":{"type":"overloaded_error","message":"Wait 2 minutes"}}`, 2 * time.Minute},
		"in a message of a 503":      {503, nil, `{"error":{"message":"Loading, try again in 20 s"}}`, 20 * time.Second},
		"in a line of text":          {429, nil, "Rate limit is exceeded. Try again in 22 seconds.", 22 * time.Second},
		"as a member":                {429, nil, `{"message":"You are being rate limited.","retry_after":1.5}`, 1500 * time.Millisecond},
		"within a whole answer":      {200, nil, `{"error":{"code":429,"message":"Please try again in 7s"}}`, 7 * time.Second},
		"a header goes before":       {429, http.Header{"Retry-After": {"2"}}, `{"error":{"message":"Please try again in 7s"}}`, 2 * time.Second},
		"days are cut":               {429, nil, `{"error":{"message":"Please try again in 2 days"}}`, time.Hour},
		"a list of them":             {429, http.Header{"Retry-After": {"3, 3"}}, "", 3 * time.Second},
		"in quotes":                  {429, http.Header{"Retry-After": {`"3"`}}, "", 3 * time.Second},
		"Azure's name":               {429, http.Header{"X-Ms-Retry-After-Ms": {"2500"}}, "", 2500 * time.Millisecond},
		"a number at the end":        {429, nil, `{"error":{"message":"Slow down. Retry after 3"}}`, 3 * time.Second},
		"a number and a point":       {429, nil, `{"error":{"message":"Retry after 3. Then go on."}}`, 3 * time.Second},
		"a header in a message":      {429, nil, "Rate limited. Retry-After: 3", 3 * time.Second},
		"another number":             {429, nil, `{"error":{"message":"Please retry after 5 attempts."}}`, 0},
		"a header beside a 200":      {200, http.Header{"Retry-After": {"3"}}, `{"error":{"message":"Slow down","type":"rate_limit_error"}}`, 3 * time.Second},
		"none":                       {429, nil, `{"error":{"message":"Please try again in a moment"}}`, 0},
		"less than none":             {429, http.Header{"X-Ratelimit-Reset-Tokens": {"-1"}}, "", 0},
		"seconds of a minute":        {429, http.Header{"X-Ratelimit-Reset-Tokens-Minute": {"26.5"}}, "", 26500 * time.Millisecond},
		"the limit that is used up":  {429, http.Header{"X-Ratelimit-Remaining-Requests-Day": {"0"}, "X-Ratelimit-Reset-Requests-Day": {"300"}, "X-Ratelimit-Remaining-Tokens-Minute": {"9"}, "X-Ratelimit-Reset-Tokens-Minute": {"26.5"}}, "", 5 * time.Minute},
		"a Unix time":                {429, http.Header{"X-Ratelimit-Reset": {inMillis}}, "", time.Minute},
		"a Unix time in the body":    {429, nil, `{"error":{"message":"Rate limit exceeded","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"` + inMillis + `"}}}}`, time.Minute},
	} {
		forEachProtocol(t, func(t *testing.T, d dialect) {
			got := failure(t.Context(), t, d.provide(t, func(w http.ResponseWriter, r *http.Request) {
				maps.Copy(w.Header(), row.header)
				plainly(row.status, row.body)(w, r)
			}), Request{})
			if late := row.want - got.RetryAfter; got.Verdict != Hold || late < 0 || late > time.Second || row.want < time.Minute && late != 0 {
				t.Errorf("%s: got %s for %s, want %s for %s", name, got.Verdict, got.RetryAfter, Hold, row.want)
			}
		})
	}
}
