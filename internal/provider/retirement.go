package provider

import (
	"fmt"
	"time"
)

// Retirement is the end of a model, as announced by its maker.
type Retirement struct {
	Date      time.Time // the day from which requests for the model fail
	Successor string    // the model that the maker recommends; "" if it names none
}

// retirements are the chat models whose end has been announced. The dates and successors
// come from the makers' SDKs and LiteLLM's price table, as of November 2026.
var retirements = []struct {
	date, successor string
	models          []string
}{
	{"2026-06-30", "claude-mythos-5", []string{"claude-mythos-preview"}},
	{"2026-11-30", "claude-sonnet-5-5", []string{"claude-sonnet-4-5", "claude-sonnet-4-5-20250929"}},
	{"2027-01-22", "", []string{"claude-opus-4-5", "claude-opus-4-5-20251101"}},

	{"2026-07-23", "gpt-5.6-sol", []string{"gpt-5-chat-latest", "gpt-5.1-chat-latest"}},
	{"2026-08-10", "gpt-5.6-sol", []string{"gpt-5.2-chat-latest", "gpt-5.3-chat-latest"}},
	{"2026-09-28", "gpt-5.6-terra", []string{"gpt-3.5-turbo-1106"}},
	{"2026-10-23", "gpt-5.6-sol", []string{
		"gpt-4", "gpt-4-0613", "gpt-4-1106-preview", "gpt-4-turbo", "gpt-4-turbo-2024-04-09", "gpt-4o-2024-05-13",
		"o1", "o1-2024-12-17", "o3-mini", "o3-mini-2025-01-31",
	}},
	{"2026-10-23", "gpt-5.6-terra", []string{"gpt-3.5-turbo", "gpt-3.5-turbo-0125", "o4-mini", "o4-mini-2025-04-16"}},
	{"2026-10-23", "gpt-5.6-luna", []string{"gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"}},
	{"2026-12-11", "gpt-5.6-sol", []string{"gpt-5", "gpt-5-2025-08-07", "o3", "o3-2025-04-16"}},
	{"2026-12-11", "gpt-5.6-terra", []string{"gpt-5-mini", "gpt-5-mini-2025-08-07"}},
	{"2026-12-11", "gpt-5.6-luna", []string{"gpt-5-nano", "gpt-5-nano-2025-08-07"}},
	{"2027-01-14", "gpt-6-luna", []string{
		"gpt-4.1", "gpt-4.1-2025-04-14", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14",
		"gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini", "gpt-4o-mini-2024-07-18",
	}},
	{"2027-04-01", "gpt-6-sol", []string{"gpt-5.1", "gpt-5.1-2025-11-13"}},
	{"2027-04-01", "gpt-6-luna", []string{"gpt-5.4-nano", "gpt-5.4-nano-2026-03-17"}},
}

var retirementOf = byModel()

func byModel() map[string]Retirement {
	all := map[string]Retirement{}
	for _, r := range retirements {
		date, err := time.Parse(time.DateOnly, r.date)
		if err != nil {
			panic(err) // a typing error in the table
		}
		for _, model := range r.models {
			all[model] = Retirement{date, r.successor}
		}
	}
	return all
}

// RetirementOf returns when a model ends, and reports whether that is known.
func RetirementOf(model string) (Retirement, bool) {
	r, known := retirementOf[model]
	return r, known
}

// sentence tells the owner of a job that requested the model what to do.
func (r Retirement) sentence(model string, now time.Time) string {
	verb := "retires"
	if !now.Before(r.Date) {
		verb = "retired"
	}
	advice := "ask for one of its newer models"
	if r.Successor != "" {
		advice = "ask for its successor, " + r.Successor
	}
	return fmt.Sprintf("its maker %s %s on %s; %s", verb, model, r.Date.Format(time.DateOnly), advice)
}
