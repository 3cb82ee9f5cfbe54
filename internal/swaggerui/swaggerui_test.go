package swaggerui_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ringback/ringback/internal/swaggerui"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsVendoredIsWhatItsMakersPublished(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("VENDOR.md")
	if err != nil {
		t.Fatal(err)
	}
	var sums []string
	for _, row := range regexp.MustCompile("\\| `([^`]+)` \\| `([0-9a-f]{64})` \\|").FindAllStringSubmatch(string(text), -1) {
		name, want := row[1], row[2]
		r, err := gzip.NewReader(bytes.NewReader(swaggerui.Files[name].Bytes))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s has the SHA-256 %s, VENDOR.md says %s", name, got, want)
		}
		sums = append(sums, name)
	}
	var gzipped []string
	for name, f := range swaggerui.Files {
		if f.Gzipped {
			gzipped = append(gzipped, name)
		}
	}
	slices.Sort(sums)
	if slices.Sort(gzipped); !slices.Equal(sums, gzipped) {
		t.Errorf("VENDOR.md has sums of %q, want those of %q", sums, gzipped)
	}
}

func TestThePageAsksForItsOwnFilesAlone(t *testing.T) {
	t.Parallel()
	var asked []string
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(swaggerui.Files[swaggerui.Page].Bytes), -1) {
		name, inDocs := strings.CutPrefix(m[1], "docs/")
		if _, ok := swaggerui.Files[name]; inDocs && !ok {
			t.Errorf("the page asks for %s, which is not among its files", m[1])
		}
		if !inDocs && m[1] != "data:," && m[1] != "openapi.json" {
			t.Errorf("the page asks for %s", m[1])
		}
		asked = append(asked, name)
	}
	for name := range swaggerui.Files {
		if name != swaggerui.Page && !slices.Contains(asked, name) {
			t.Errorf("the page does not ask for %s", name)
		}
	}
}
