package ringback_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// formerWords are names that this code had for things that other projects know by another
// name, which is given with each. No identifier, comment or page uses them again.
var formerWords = map[string]string{
	"agenda": "due heap", "audience": "fan-out", "bear": "claim on insert", "bears": "claims on insert", "birth": "claim on insert",
	"births": "claims on insert", "born": "claimed on insert", "catchup": "load events", "complaint": "API error", "complaints": "API errors",
	"crowd": "connections", "crowds": "connections", "deserted": "stalled", "dissolved": "flushed", "door": "handler or API",
	"doors": "handlers or APIs", "eager": "try to write", "guest": "connection", "guests": "connections", "insist": "retry until",
	"judge": "classify", "judged": "classified", "judges": "classifies", "keeper": "maintenance", "mayjudge": "may evict",
	"maypass": "is transient", "obey": "cancel attempts", "passon": "notify", "poke": "wake", "recall": "load", "recalled": "loaded",
	"retain": "prune", "seat": "subscriber", "seats": "subscribers", "takeborn": "try now", "ticket": "permit", "tickets": "permits",
	"unbear": "undo the start", "witness": "decisions",
}

// keptWords are where a former word is what users see, or part of a name that is not ours.
var keptWords = map[string][]string{
	"door":  {"docs/operations.md", "internal/memory/pools.go", "internal/simulate/text.go"}, // the label of a metric; a text
	"doors": {"docs/api.md", "internal/node/readiness.go", "internal/node/member_test.go", "internal/node/world_test.go"},
	"eager": {"internal/protocol/anthropic_stream.go"}, // eager_input_streaming
}

// oldFiles are not changed anymore, or are about the past.
var oldFiles = []string{"CHANGELOG.md", "words_test.go", "docs/decisions/", "internal/store/postgres/migrations/", "internal/store/sqlite/migrations/"}

var (
	isWord  = regexp.MustCompile(`[A-Za-z]+`)
	isPart  = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`) // of a name such as partOfAName
	written = []string{".go", ".md", ".sh", ".js", ".sql", ".yml", ".yaml"}
)

func TestFormerWordsDoNotComeBack(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "dist" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return filepath.SkipDir
		case d.IsDir() || !slices.Contains(written, filepath.Ext(path)) || slices.ContainsFunc(oldFiles, func(old string) bool { return strings.HasPrefix(name, old) }):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			for _, word := range former(line) {
				if !slices.Contains(keptWords[word], name) {
					t.Errorf("%s:%d: %q is a former word; say %q", name, n, word, formerWords[word])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// former returns the former words in a line, alone or as parts of names.
func former(line string) (found []string) {
	for _, word := range isWord.FindAllString(line, -1) {
		for _, part := range append(isPart.FindAllString(word, -1), word) {
			if part = strings.ToLower(part); formerWords[part] != "" && !slices.Contains(found, part) {
				found = append(found, part)
			}
		}
	}
	return found
}
