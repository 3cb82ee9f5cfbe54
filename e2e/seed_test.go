package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ringback/ringback"
)

// plainReceivers are like those of many web teams: Express with its JSON parser, and an
// HMAC by hand, of the bytes or of the body stringified again.
var plainReceivers = []string{"testdata/seed/raw-body.mjs", "testdata/seed/stringify.mjs"}

func TestPlainReceiversVerifyAndReadWhatWeSend(t *testing.T) {
	t.Parallel()
	for _, script := range plainReceivers {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			for _, secret := range []string{whsecSecret, plainSecret} {
				r := startReceiver(t, nodeCommand(t, besideModules(t, script)), secret)
				for name, body := range goldenBodies(t) {
					readsGolden(t, r, parseSecret(t, secret), name, body)
				}
			}
		})
	}
}

// readsGolden delivers a golden body. The receiver answers with the fields that it read;
// each must be exactly the bytes in the body.
func readsGolden(t *testing.T, r *receiver, secret ringback.Secret, name string, body []byte) {
	t.Helper()
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatalf("golden body %s: %v", name, err)
	}
	fields := []string{"job_id", "status", "error"}
	if string(sent["status"]) == `"completed"` {
		fields = []string{"job_id", "status", "result", "model", "usage", "duration_ms"}
	}
	want := make(map[string]string)
	for _, field := range fields {
		if want[field] = string(sent[field]); want[field] == "" {
			t.Errorf("golden body %s holds no %s", name, field)
		}
	}

	answer := r.post(t, ringback.Sign(secret, "dlv_"+name, time.Now(), body), body)
	if answer.status != http.StatusOK {
		t.Errorf("%s: got %d %s, want 200", name, answer.status, answer.body)
		return
	}
	var read map[string]json.RawMessage
	if err := json.Unmarshal(answer.body, &read); err != nil {
		t.Fatalf("%s: the receiver answered %s: %v", name, answer.body, err)
	}
	got := make(map[string]string)
	for field, value := range read {
		got[field] = string(value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: what the receiver read (-want +got):\n%s", name, diff)
	}
}

func TestPlainReceiversRefuseForgeries(t *testing.T) {
	t.Parallel()
	for _, script := range plainReceivers {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			r := startReceiver(t, nodeCommand(t, besideModules(t, script)), whsecSecret)
			body := goldenBodies(t)["completed"]
			tampered := []byte(strings.Replace(string(body), `"completed"`, `"cancelled"`, 1))
			for name, signature := range map[string]http.Header{
				"another secret": ringback.Sign(ringback.NewSecret(), "dlv_1", time.Now(), tampered),
				"another body":   ringback.Sign(parseSecret(t, whsecSecret), "dlv_1", time.Now(), body),
				"no signature":   {},
			} {
				if got := r.post(t, signature, tampered); got.status != http.StatusUnauthorized {
					t.Errorf("%s: got %d %s, want 401", name, got.status, got.body)
				}
			}
		})
	}
}
