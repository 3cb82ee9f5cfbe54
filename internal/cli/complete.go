package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/plain"
)

// CompleteWords lets the shell complete flags with a fixed set of values, by their names.
func CompleteWords(cmd *cobra.Command, words map[string][]string) {
	for flag, list := range words {
		err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
		if err != nil {
			panic(err) // there is no such flag
		}
	}
}

// completionTime is how long completion waits for the server.
const completionTime = time.Second

// completeJobs lets the shell complete the ids of recent jobs that fit.
func completeJobs(fit func(ringback.Job) bool) cobra.CompletionFunc {
	return completeIDs(func(ctx context.Context, s *session) ([]cobra.Completion, error) {
		page, err := s.List(ctx, client.Query{Limit: 50})
		var ids []cobra.Completion
		for _, job := range page.Data {
			if fit(job) {
				ids = append(ids, cobra.CompletionWithDesc(job.ID, string(job.Status)+" "+plain.OneLine(job.RequestedModel)))
			}
		}
		return ids, err
	})
}

// completeDead lets the shell complete the ids of dead letters of both kinds.
func completeDead() cobra.CompletionFunc {
	return completeIDs(func(ctx context.Context, s *session) ([]cobra.Completion, error) {
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

// completeDeliveries lets the shell complete the ids of webhooks that have not arrived.
func completeDeliveries() cobra.CompletionFunc {
	return completeIDs(func(ctx context.Context, s *session) ([]cobra.Completion, error) {
		page, err := s.ListDeliveries(ctx, client.DeliveryQuery{Status: ringback.DeliveryPending, Limit: 50})
		var ids []cobra.Completion
		for _, d := range page.Data {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, string(d.Status)+" to "+plain.HostOf(d.URL)))
		}
		return ids, err
	})
}

func completeIDs(list func(context.Context, *session) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		s, err := newSession(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionTime)
		defer cancel()
		ids, err := list(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // a prompt is no place for an error
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
