package e2e_test

import (
	"bytes"
	"testing"
)

func TestWhatPythonWritesOfAParsedBodyIsAsTheDocsSay(t *testing.T) {
	t.Parallel()
	for name, body := range goldenBodies(t) {
		cmd := pythonCommand(t, "testdata/python/dumps.py")
		cmd.Stdin = bytes.NewReader(body)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		byDefault, compact, _ := bytes.Cut(out, []byte("\n"))
		if bytes.Equal(byDefault, body) {
			t.Errorf("%s: json.dumps writes the same bytes by default; the docs say that it does not", name)
		}
		if same := bytes.Equal(compact, body); same != (name != "exotic-floats") {
			t.Errorf("%s: json.dumps with separators and ensure_ascii=False writes the same: %v\n got %s\nsent %s", name, same, compact, body)
		}
	}
}
