package e2e_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const schemathesis = "testdata/schemathesis"

// A WebSocket is left out: OpenAPI describes the request that asks for one, but not that it
// needs the headers of an upgrade.
const aWebSocket = "/api/jobs/{id}/ws"

// Schemathesis generates requests from /openapi.json, valid and invalid ones, and compares
// each response with the document. Two of its warnings are about data, not about the API:
// it cannot know which ids exist.
func TestTheDescriptionOfTheAPIIsTrueOfTheRealServer(t *testing.T) {
	t.Parallel()
	python, err := filepath.Abs(schemathesis + "/.venv/bin/python")
	must(t, err)
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("schemathesis is missing; ./test.sh installs it, or: python3 -m venv e2e/%[1]s/.venv && e2e/%[1]s/.venv/bin/pip install -r e2e/%[1]s/requirements.txt", schemathesis)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // webhooks, and the events of jobs
	}))
	t.Cleanup(receiver.Close)
	w := newWorld(t, setup{})
	must(t, os.WriteFile(w.config, []byte("routes:\n  - {model: \"*\", provider: simulated}\n"), 0o600))
	w.env = append(w.env, "RINGBACK_API_KEY=key-of-schemathesis")
	s := w.start("--simulate")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // it takes 20 s on an idle machine
	defer cancel()
	dir, err := filepath.Abs(schemathesis)
	must(t, err)
	cmd := exec.CommandContext(ctx, python, "-m", "schemathesis.cli", "--no-color", "--config-file", filepath.Join(dir, "schemathesis.toml"),
		"run", s.url+"/openapi.json", "--header", "Authorization: Bearer key-of-schemathesis", "--exclude-path", aWebSocket,
		"--max-examples", "10", "--seed", "1", "--no-shrink", "--continue-on-failure")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SCHEMATHESIS_HOOKS="+filepath.Join(dir, "hooks.py"), "RINGBACK_RECEIVER="+receiver.URL, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if covered := regexp.MustCompile(`Tested: (\d+)`).FindSubmatch(out); covered == nil || len(covered[1]) < 2 {
		t.Errorf("it tested hardly anything:\n%s", out)
	}
}
