package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/ringback/ringback/internal/config"
	"github.com/ringback/ringback/internal/exit"
)

const (
	configurationPage = "../../docs/configuration.md"
	commandLinePage   = "../../docs/cli.md"
)

// The tables of docs/configuration.md are generated from the code; -update writes them.
func TestTheConfigurationPageHasTheTablesOfTheCode(t *testing.T) {
	holdTables(t, configurationPage, map[string]string{"settings": settingsTable(), "providers": providersTable(), "exit codes": exitCodesTable()})
}

// So are those of docs/cli.md.
func TestTheCommandLinePageHasTheFlagsOfTheCode(t *testing.T) {
	tables := map[string]string{"exit codes": codesTable(exit.Remote())}
	root := newRoot(new(bool))
	common := []string{"json", "quiet", "url", "config"}
	for _, path := range []string{
		"submit", "jobs list", "jobs show", "jobs watch", "jobs cancel", "jobs retry", "jobs redeliver", "jobs erase",
		"deliveries list", "deliveries show", "dead list", "dead show", "dead replay", "dead purge", "listen", "migrate",
	} {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		without := common
		if path == "listen" {
			without = nil
		}
		if table := flagsTable(cmd.Flags(), nil, without); table != "" {
			tables[path] = table
		}
	}
	anyOfThem, _, err := root.Find([]string{"jobs", "list"})
	if err != nil {
		t.Fatal(err)
	}
	tables["all"] = flagsTable(anyOfThem.Flags(), common, nil) + flagsRows(root.PersistentFlags(), nil, []string{"version"})
	holdTables(t, commandLinePage, tables)
}

// holdTables compares the tables between the marks of a page with the code's, or writes
// them.
func holdTables(t *testing.T, file string, tables map[string]string) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, table := range tables {
		block := regexp.MustCompile(`(?s)(<!-- ` + name + `: go test ./cmd/ringback -update -->\n).*?(<!-- end -->)`)
		if !block.MatchString(want) {
			t.Fatalf("%s has no block %q", file, name)
		}
		want = block.ReplaceAllString(want, "${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}")
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Errorf("%s is not what the code says; go test ./cmd/ringback -run %s -update writes it anew", file, t.Name())
	}
}

// flagsTable lists the flags of a command: only some, or all but some; "" if there are
// none.
func flagsTable(flags *pflag.FlagSet, only, without []string) string {
	rows := flagsRows(flags, only, without)
	if rows == "" {
		return ""
	}
	return "| flag | |\n|---|---|\n" + rows
}

func flagsRows(flags *pflag.FlagSet, only, without []string) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || only != nil && !slices.Contains(only, f.Name) || slices.Contains(without, f.Name) {
			return
		}
		meta, _ := pflag.UnquoteUsage(f)
		name := code(strings.TrimSpace("--" + f.Name + " " + strings.ReplaceAll(meta, "|", "\\|")))
		if f.Value.Type() == "bool" {
			name = code("--" + f.Name)
		}
		if f.Shorthand != "" {
			name = code("-"+f.Shorthand) + ", " + name
		}
		help := flagHelp(f)
		if !slices.Contains([]string{"", "false", "[]", "0s"}, f.DefValue) {
			help += " (default " + code(f.DefValue) + ")"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, help)
	})
	return b.String()
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| flag | variable | key | default | |\n|---|---|---|---|---|\n")
	for _, s := range config.Settings {
		flag := ""
		if s.Flag != "" {
			flag = strings.TrimSpace("--" + s.Flag + " " + s.Meta)
		}
		def := s.Def
		if s.Meta == "" && s.Flag != "" {
			def = "false"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(flag), code(s.Variable), code(s.Key), code(def), s.Help)
	}
	return b.String()
}

func providersTable() string {
	var b strings.Builder
	b.WriteString("| key in | makes provider | speaks | at, unless set by |\n|---|---|---|---|\n")
	for _, w := range config.WellKnown {
		fmt.Fprintf(&b, "| %s | %s | %s | %s, %s |\n", code(w.KeyVariable), code(w.Name), code(w.Protocol), code(w.BaseURL), code(w.URLVariable))
	}
	return b.String()
}

func exitCodesTable() string { return codesTable(exit.Codes) }

func codesTable(codes []exit.Code) string {
	var b strings.Builder
	b.WriteString("| code | |\n|---|---|\n")
	for _, e := range codes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Number, e.Meaning)
	}
	return b.String()
}

// code formats a word as code; "" becomes a dash.
func code(s string) string {
	return cmp.Or(strings.ReplaceAll("`"+s+"`", "``", ""), "–")
}

// The page's example is read by the real reader.
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
		c := mustLoad(t, []string{"--config", write(t, example[1])}, []string{"ANTHROPIC_API_KEY=a", "OWN_KEY=o", "WEBHOOK_SECRET=s"})
		if len(c.Providers) == 0 {
			t.Errorf("this example sets up no provider:\n%s", example[1])
		}
	}
}

// The page has the same settings as --help.
func TestTheHelpOfServeNamesEverySetting(t *testing.T) {
	cmd, _, err := newRoot(new(bool)).Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	help := cmd.UsageString()
	for _, s := range config.Settings {
		if s.Remote {
			continue
		}
		if !strings.Contains(help, s.Variable) {
			t.Errorf("serve --help does not name %s", s.Variable)
		}
		if s.Flag != "" && !strings.Contains(help, "--"+s.Flag) {
			t.Errorf("serve --help does not name --%s", s.Flag)
		}
	}
}
