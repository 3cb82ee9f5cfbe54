// Package deploy_test checks the files for Prometheus and Grafana with those programs' own
// rules. (A test in cmd/ringback checks that each metric in them exists.)
package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// promtool runs in a copy of the directory prometheus, where it finds the key that the
// configuration names.
func promtool(t *testing.T, add map[string]string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		if program, err = filepath.Abs(".bin/promtool"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(program); err != nil {
			t.Fatal("promtool is missing: ./test.sh unpacks Debian's into deploy/.bin; elsewhere put the one of https://prometheus.io/download on the PATH")
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("prometheus")); err != nil {
		t.Fatal(err)
	}
	add["ringback-key"] = "key"
	for name, text := range add {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusTakesTheConfiguration(t *testing.T) {
	t.Parallel()
	promtool(t, map[string]string{}, "check", "config", "prometheus.yml")
}

func TestPrometheusTakesTheRules(t *testing.T) {
	t.Parallel()
	promtool(t, map[string]string{}, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
}

func TestTheAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, map[string]string{}, "test", "rules", "rules_test.yml")
}

// rules is the content of rules.yml.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func TestEachAlertIsExplainedAndTested(t *testing.T) {
	t.Parallel()
	var r rules
	if err := yaml.Unmarshal(read(t, "prometheus/rules.yml"), &r); err != nil {
		t.Fatal(err)
	}
	tests := string(read(t, "prometheus/rules_test.yml"))
	for _, g := range r.Groups {
		if len(g.Rules) == 0 {
			t.Error("a group has no rules")
		}
		for _, a := range g.Rules {
			if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || !slices.Contains([]string{"warning", "critical"}, a.Labels["severity"]) {
				t.Errorf("%s needs a summary, a description and a severity", a.Alert)
			}
			if !regexp.MustCompile(`alertname: ` + a.Alert + `\n\s+exp_alerts:`).MatchString(tests) {
				t.Errorf("rules_test.yml never lets %s fire", a.Alert)
			}
		}
	}
}

// board is the part of the board that the tests read.
type board struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID                       int `json:"id"`
	Title, Type, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

func theBoard(t *testing.T) (b board) {
	t.Helper()
	if err := json.Unmarshal(read(t, "grafana/ringback.json"), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheBoardFitsAnyDataSource(t *testing.T) {
	t.Parallel()
	b := theBoard(t)
	if b.UID != "ringback" {
		t.Errorf("its uid is %q: links to it would break", b.UID)
	}
	if v := b.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" {
		t.Errorf("its first variable is %+v, want the data source", v)
	}
	seen := map[int]bool{}
	for _, p := range b.Panels {
		if seen[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		seen[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q needs a title, a description and a target", p.ID, p.Title)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the board", p.Title)
		}
		for _, target := range p.Targets {
			if p.Datasource.UID != "${datasource}" || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q names a data source of its own", p.Title)
			}
		}
	}
}

// Prometheus parses the board's queries, with Grafana's variables filled in.
func TestPrometheusUnderstandsTheBoard(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("groups:\n  - name: board\n    rules:\n")
	variables := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".+")
	for _, p := range theBoard(t).Panels {
		for i, target := range p.Targets {
			expr := variables.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("panel %q has an unknown variable in %s", p.Title, expr)
			}
			fmt.Fprintf(&text, "      - {record: 'panel:%d:%d', expr: '%s'}\n", p.ID, i, expr)
		}
	}
	promtool(t, map[string]string{"board.yml": text.String()}, "check", "rules", "board.yml")
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
