package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeWithin bounds the wait for a node of somebody who has pressed a key.
const completeWithin = time.Second

// completion is what cobra asks for the words that may come next.
type completion = func(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective)

// oneOf completes the first argument by what a node knows. Without a node there
// is nothing to offer, and nothing to say either.
func (s *session) oneOf(ask func(ctx context.Context) ([]string, error)) completion {
	return func(c *cobra.Command, arguments []string, begun string) (words []string, _ cobra.ShellCompDirective) {
		if len(arguments) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // what follows a name is a directory
		}
		s.find()
		ctx, cancel := context.WithTimeout(c.Context(), completeWithin)
		defer cancel()
		all, _ := ask(ctx) // see above
		for _, word := range all {
			if strings.HasPrefix(word, begun) {
				words = append(words, word)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *session) volumeNames(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Volumes(ctx)
		return namesOf(all), err
	})(c, arguments, begun)
}

func (s *session) nodeNames(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Nodes(ctx)
		return namesOf(all), err
	})(c, arguments, begun)
}

func (s *session) diskNames(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Disks(ctx)
		return namesOf(all), err
	})(c, arguments, begun)
}

func (s *session) tokenIDs(c *cobra.Command, arguments []string, begun string) ([]string, cobra.ShellCompDirective) {
	return s.oneOf(func(ctx context.Context) ([]string, error) {
		all, err := s.client().Tokens(ctx)
		return namesOf(all), err
	})(c, arguments, begun)
}
