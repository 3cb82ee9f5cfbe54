//go:build unix

package main

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/postgrestest"
	"github.com/ringback/ringback/internal/simulate"
)

// ofRegistry returns our metrics, each with its labels, as a registry describes them:
// including those that have no series yet.
func ofRegistry(t *testing.T, r *prometheus.Registry) map[string][]string {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		r.Describe(descriptions)
	}()
	form := regexp.MustCompile(`^Desc\{fqName: "([^"]+)".*variableLabels: \{([^}]*)\}\}$`)
	all := map[string][]string{}
	for d := range descriptions {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description has another form: %s", d)
		}
		if strings.HasPrefix(m[1], "ringback_") {
			all[m[1]] = slices.Sorted(strings.SplitSeq(m[2], ","))
		}
	}
	return all
}

// allMetrics returns those of servers, as serve sets them up, with either store.
func allMetrics(t *testing.T) map[string][]string {
	t.Helper()
	all := ofRegistry(t, start(t, []string{"--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate"}, nil).metrics)
	shared := start(t, []string{"--addr", "127.0.0.1:0", "--simulate"}, []string{
		"RINGBACK_DATABASE_URL=" + postgrestest.Database(t), "WEBHOOK_SECRET=" + strings.Repeat("s", 32),
	})
	maps.Copy(all, ofRegistry(t, shared.metrics))
	return all
}

func TestTheOperationsPageHasEveryMetricWithItsLabels(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(ringback_[a-z_]+)` \\|([^|]*)\\|")
	label := regexp.MustCompile("`([a-z_]+)`")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		labels := []string{}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		if len(labels) == 0 {
			labels = []string{""}
		}
		slices.Sort(labels)
		documented[m[1]] = labels
	}
	if diff := cmp.Diff(allMetrics(t), documented); diff != "" {
		t.Errorf("metrics of the code (-) and of docs/operations.md (+):\n%s", diff)
	}
}

// After a job with a webhook that failed at first, the real server shows all metrics that
// may have a series by then.
func TestTheServerShowsItsMetrics(t *testing.T) {
	receiver, url := receive(t, simulate.ReceiverConfig{Respond: []int{200}})
	s := start(t, []string{"--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate", "--allow-callback", "127.0.0.0/8"}, nil)
	if _, err := s.client.Submit(t.Context(), ringback.Request{Prompt: "Hello", CallbackURL: url}); err != nil {
		t.Fatal(err)
	}
	webhooks(t, receiver, 1)
	shown := map[string]bool{}
	gather := func() {
		families, err := s.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "ringback_") {
				shown[f.GetName()] = true
			}
		}
	}
	gather() // while the store is readable
	s.stop()
	gather() // everything that the server did has been counted
	want := slices.Sorted(maps.Keys(ofRegistry(t, s.metrics)))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(shown))); diff != "" {
		t.Errorf("metrics of the code (-) and those with a series (+):\n%s", diff)
	}
}

// Scrapers must be able to read it.
func TestTheMetricsAreInPrometheusTextFormat(t *testing.T) {
	s := start(t, []string{"--addr", "127.0.0.1:0", "--data", t.TempDir(), "--simulate"}, nil)
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	info := families["ringback_build_info"]
	if info == nil || !strings.Contains(info.String(), buildVersion().Go) {
		t.Errorf("ringback_build_info is %v", info)
	}
}

// A board or an alert on a missing metric stays silent forever.
func TestTheBoardAndTheAlertsNameMetricsAndLabelsThatExist(t *testing.T) {
	have := allMetrics(t)
	everywhere := []string{"instance", "le"}
	name := regexp.MustCompile(`\bringback_[a-z_]+\b`)
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	selector := regexp.MustCompile(`\b(ringback_[a-z_]+)\{([^}]*)\}`)
	matcher := regexp.MustCompile(`([a-z_]+)(?:=|!=|=~|!~)\\?"`)
	for _, file := range []string{"grafana/ringback.json", "prometheus/rules.yml", "prometheus/rules_test.yml"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range name.FindAllString(string(text), -1) {
			if have[n] == nil && have[suffix.ReplaceAllString(n, "")] == nil {
				t.Errorf("deploy/%s names %s, which does not exist", file, n)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(string(text), -1) {
			labels := have[suffix.ReplaceAllString(s[1], "")]
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if !slices.Contains(labels, m[1]) && !slices.Contains(everywhere, m[1]) {
					t.Errorf("deploy/%s: %s has no label %s", file, s[1], m[1])
				}
			}
		}
	}
	board, err := os.ReadFile("../../deploy/grafana/ringback.json")
	if err != nil {
		t.Fatal(err)
	}
	for n := range have {
		if !strings.Contains(string(board), n) {
			t.Errorf("the board does not show %s", n)
		}
	}
}
