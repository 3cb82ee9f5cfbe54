// Package dead has the commands of "ringback dead".
//
//	dead.go     the flags that select dead letters; what an id belongs to
//	list.go     dead list
//	show.go     dead show
//	replay.go   dead replay, and outcome.go: what became of deliveries that were sent again
//	purge.go    dead purge
//	parts.go    an action on many dead letters, part by part
package dead

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/plain"
	"github.com/ringback/ringback/internal/terminal"
)

// New makes ringback dead.
func New() *cobra.Command {
	return remote.Group(&cobra.Command{
		Use:   "dead COMMAND",
		Short: "List, show, replay and purge dead letters",
		Long: `Dead letters: jobs that failed, and webhooks (deliveries) that are out of tries. A
dead job leaves the list when it is replayed or purged, a dead delivery when it is
delivered or purged.`,
		Example: `  ringback dead list
  ringback dead replay --host https://example.com
  ringback dead replay --kind job --code timeout --patch '{"timeout_seconds": 1800}'`,
	}, newList(), newShow(), newReplay(), newPurge())
}

// filterFlags is the flags of a ringback.DeadFilter.
type filterFlags struct {
	kind, model, provider, code, host                    string
	createdAfter, createdBefore, endedAfter, endedBefore string
	metadata                                             []string
}

func (f *filterFlags) addFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.kind, "kind", "", "`KIND` the kind of dead letter: job or delivery; filters that exist for only one kind imply it")
	flags.StringVar(&f.model, "model", "", "`MODEL` only jobs that requested this model")
	flags.StringVar(&f.provider, "provider", "", "`NAME` only jobs of this provider")
	flags.StringVar(&f.code, "code", "", "`CODE` only jobs whose error has this code: "+strings.Join(codes(), ", "))
	flags.StringArrayVar(&f.metadata, "metadata", nil, "`KEY=VALUE` only jobs whose metadata has this; repeat it")
	flags.StringVar(&f.host, "host", "", "`HOST` only deliveries to this receiver: https://example.com, with the port if it is not the default one")
	flags.StringVar(&f.createdAfter, "created-after", "", "`TIME` only jobs accepted, or webhooks of events, after this: RFC 3339, or how long ago: 90m, 36h")
	flags.StringVar(&f.createdBefore, "created-before", "", "`TIME` only jobs accepted, or webhooks of events, before this")
	flags.StringVar(&f.endedAfter, "ended-after", "", "`TIME` only dead letters that died after this")
	flags.StringVar(&f.endedBefore, "ended-before", "", "`TIME` only dead letters that died before this")
}

func codes() []string { return remote.Words(ringback.ErrorDetailCodes) }

// completeFilter lets the shell complete the flags of a filter.
func completeFilter(cmd *cobra.Command) {
	terminal.CompleteWords(cmd, map[string][]string{"kind": {string(ringback.DeadJob), string(ringback.DeadDelivery)}, "code": codes()})
}

// read reads the flags. The kind stays "" if no flag implies it.
func (f *filterFlags) read(now time.Time) (ringback.DeadFilter, error) {
	read := ringback.DeadFilter{
		Kind: ringback.DeadKind(f.kind), Model: f.model, Provider: f.provider, Code: ringback.ErrorDetailCode(f.code), Host: f.host,
	}
	var err error
	if read.Metadata, err = remote.KeyValues("metadata", f.metadata); err != nil {
		return read, err
	}
	for _, t := range []struct {
		flag, text string
		into       **ringback.Time
	}{
		{"created-after", f.createdAfter, &read.CreatedAfter}, {"created-before", f.createdBefore, &read.CreatedBefore},
		{"ended-after", f.endedAfter, &read.EndedAfter}, {"ended-before", f.endedBefore, &read.EndedBefore},
	} {
		at, err := remote.Past(t.flag, t.text, now)
		if err != nil {
			return read, err
		}
		if !at.IsZero() {
			*t.into = &at
		}
	}
	return read, imply(&read)
}

// imply finds the kind that the filters apply to.
func imply(f *ringback.DeadFilter) error {
	if f.Code != "" && !slices.Contains(codes(), string(f.Code)) {
		return fmt.Errorf("--code: %q is not one of %s", f.Code, strings.Join(codes(), ", "))
	}
	ofJobs := f.Model != "" || f.Provider != "" || f.Code != "" || len(f.Metadata) > 0
	switch {
	case f.Kind != "" && f.Kind != ringback.DeadJob && f.Kind != ringback.DeadDelivery:
		return fmt.Errorf("--kind: %q is neither job nor delivery", f.Kind)
	case ofJobs && (f.Host != "" || f.Kind == ringback.DeadDelivery):
		return errors.New("--model, --provider, --code and --metadata filter jobs, --host and --kind delivery filter deliveries; filter one kind at a time")
	case f.Host != "" && f.Kind == ringback.DeadJob:
		return errors.New("--host filters deliveries; leave --kind out, or use --kind delivery")
	case ofJobs:
		f.Kind = ringback.DeadJob
	case f.Host != "":
		f.Kind = ringback.DeadDelivery
	}
	return nil
}

// isEmpty reports whether a filter selects all of its kind.
func isEmpty(f ringback.DeadFilter) bool {
	return f.Model == "" && f.Provider == "" && f.Code == "" && len(f.Metadata) == 0 && f.Host == "" &&
		f.CreatedAfter == nil && f.CreatedBefore == nil && f.EndedAfter == nil && f.EndedBefore == nil
}

// deadLetter is a dead letter that was found by its id.
type letter struct {
	kind ringback.DeadKind
	job  string // its id; of a delivery that of its job
	url  string // where a delivery goes
}

// find finds what an id belongs to: a job, dead or not, or a dead delivery.
func find(ctx context.Context, s *remote.Session, id string) (letter, error) {
	job, err := s.Get(ctx, id)
	if err == nil {
		return letter{kind: ringback.DeadJob, job: job.ID}, nil
	}
	if e, ok := errors.AsType[*ringback.Error](err); !ok || e.Code != ringback.NotFound {
		return letter{}, err
	}
	unknown := exit.Errorf(exit.NotFound, "there is no job and no dead delivery %q; what is dead: %s", plain.Printable(id), s.CommandLine("dead list"))
	d, err := s.Delivery(ctx, id)
	if e, ok := errors.AsType[*ringback.Error](err); ok && e.Code == ringback.NotFound || err == nil && d.Status != ringback.DeliveryDead {
		return letter{}, unknown
	}
	return letter{kind: ringback.DeadDelivery, job: d.JobID, url: d.URL}, err
}

// complete lets the shell complete the ids of dead letters of both kinds.
func complete() cobra.CompletionFunc {
	return remote.CompleteIDs(func(ctx context.Context, s *remote.Session) ([]cobra.Completion, error) {
		jobs, err := s.DeadJobs(ctx, client.DeadQuery{})
		if err != nil {
			return nil, err
		}
		var ids []cobra.Completion
		for _, job := range jobs.Data {
			ids = append(ids, cobra.CompletionWithDesc(job.ID, "job "+codeOf(job)))
		}
		deliveries, err := s.DeadDeliveries(ctx, client.DeadQuery{})
		for _, d := range deliveries.Data {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, "delivery to "+plain.HostOf(d.URL)))
		}
		return ids, err
	})
}

func codeOf(j ringback.Job) string {
	if j.ErrorDetail == nil {
		return string(j.Status)
	}
	return string(j.ErrorDetail.Code)
}
