package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const configurationPage = "../../docs/configuration.md"

// The tables of docs/configuration.md are those of the code; -update writes them.
func TestTheConfigurationPageHasTheTablesOfTheCode(t *testing.T) {
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, table := range map[string]string{"settings": settingsTable(), "providers": providersTable(), "exit codes": exitCodesTable()} {
		block := regexp.MustCompile(`(?s)(<!-- ` + name + `: go test ./cmd/ringback -update -->\n).*?(<!-- end -->)`)
		if !block.MatchString(want) {
			t.Fatalf("%s has no block %q", configurationPage, name)
		}
		want = block.ReplaceAllString(want, "${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}")
	}
	if *update {
		if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Errorf("%s is not what the code says; go test ./cmd/ringback -run %s -update writes it anew", configurationPage, t.Name())
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| flag | variable | key | default | |\n|---|---|---|---|---|\n")
	for _, s := range settings {
		flag := ""
		if s.flag != "" {
			flag = strings.TrimSpace("--" + s.flag + " " + s.meta)
		}
		def := s.def
		if s.meta == "" && s.flag != "" {
			def = "false"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(flag), code(s.variable), code(s.key), code(def), s.help)
	}
	return b.String()
}

func providersTable() string {
	var b strings.Builder
	b.WriteString("| key in | makes provider | speaks | at, unless set by |\n|---|---|---|---|\n")
	for _, w := range wellKnown {
		fmt.Fprintf(&b, "| %s | %s | %s | %s, %s |\n", code(w.keyVariable), code(w.name), code(w.protocol), code(w.baseURL), code(w.urlVariable))
	}
	return b.String()
}

func exitCodesTable() string {
	var b strings.Builder
	b.WriteString("| code | |\n|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.meaning)
	}
	return b.String()
}

// code sets a word as code, and a dash where there is none.
func code(s string) string {
	return cmp.Or(strings.ReplaceAll("`"+s+"`", "``", ""), "–")
}

// The example of the page is read by the real reader.
func TestTheExampleOfTheConfigurationPageWorks(t *testing.T) {
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	examples := fence.FindAllStringSubmatch(string(page), -1)
	if len(examples) == 0 {
		t.Fatal("the page has no example")
	}
	for _, example := range examples {
		c := mustLoad(t, []string{"--config", write(t, example[1])}, []string{"ANTHROPIC_API_KEY=a", "OWN_KEY=o"})
		if len(c.providers) == 0 {
			t.Errorf("this example sets up no provider:\n%s", example[1])
		}
	}
}

// Whoever comes from --help finds the same settings there.
func TestTheHelpOfServeNamesEverySetting(t *testing.T) {
	cmd, _, err := newRoot(new(bool)).Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	help := cmd.UsageString()
	for _, s := range settings {
		if !strings.Contains(help, s.variable) {
			t.Errorf("serve --help does not name %s", s.variable)
		}
		if s.flag != "" && !strings.Contains(help, "--"+s.flag) {
			t.Errorf("serve --help does not name --%s", s.flag)
		}
	}
}
