package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

const localModel = "../examples/local-model"

// fakePython replaces the python of the recipe's .venv: it installs nothing, and its model
// is the test's.
const fakePython = `#!/bin/sh
case "$1 $2" in
"-m pip") ;;
serve_model.py*) echo "$MODEL_URL" && exec sleep 600 ;;
*) exec python3 "$@" ;;
esac
`

// The recipe unchanged, except for the model: what it installs takes minutes.
func TestTheRecipeOfALocalModelRuns(t *testing.T) {
	t.Parallel()
	var asked []byte
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", `{"model":"smollm2-135m","choices":[{"index":0,"delta":{"content":"About a lighthouse."},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(model.Close)
	venv := t.TempDir()
	must(t, os.Mkdir(filepath.Join(venv, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(venv, "bin", "python"), []byte(fakePython), 0o755))

	need(t, localModel+"/run.sh")
	cmd := exec.CommandContext(t.Context(), "sh", localModel+"/run.sh")
	cmd.Env = append(cleanEnviron(), "VENV="+venv, "MODEL_URL="+model.URL+"/v1", "RINGBACK_API_KEY=none-of-its-business")
	var talk strings.Builder
	cmd.Stderr = &talk
	received, err := cmd.Output()
	if err != nil {
		t.Fatalf("run.sh: %v\n%s", err, talk.String())
	}
	for _, want := range []string{"both signatures verified", `"status": "completed"`, `"result": "About a lighthouse."`, `"provider": "local"`} {
		if !strings.Contains(string(received), want) {
			t.Errorf("run.sh printed no %s:\n%s", want, received)
		}
	}
	request := gjson.ParseBytes(asked)
	if prompt := request.Get("messages.0.content").Str; request.Get("model").Str != "smollm2-135m" || !strings.Contains(prompt, "lighthouse") {
		t.Errorf("the model was asked %s", asked)
	}
}

// Code that only runs with the real model is at least valid Python, and the README names
// each file.
func TestTheRecipeOfALocalModelIsWhole(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(localModel + "/README.md")
	must(t, err)
	entries, err := os.ReadDir(localModel)
	must(t, err)
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || name == "README.md" {
			continue
		}
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
		if filepath.Ext(name) == ".py" {
			parse := "import ast, sys; ast.parse(open(sys.argv[1], encoding='utf-8').read())"
			if out, err := exec.CommandContext(t.Context(), "python3", "-c", parse, filepath.Join(localModel, name)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
}
