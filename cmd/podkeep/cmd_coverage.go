package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/podkeep/podkeep/config/monitoring"
	"github.com/podkeep/podkeep/internal/coverage"
	"github.com/podkeep/podkeep/internal/describe"
)

// outputWide is a table with all that is known.
const outputWide = "wide"

type coverageFlags struct {
	output      string
	selector    string
	unprotected bool
	rules       bool
	installed   string // namespace; "" means that of the configuration
}

func newCoverageCommand(s *session) *cobra.Command {
	var flags coverageFlags
	cmd := &cobra.Command{
		Use:   "coverage [NAMESPACE...]",
		Short: "Show which volumes are protected, and why others are not",
		Long: `Show every claim, and every volume of a pod that could hold data: whether it is
protected, by whom it is excluded, or why it is not protected; its last backup, the
age of that, and the result of the last attempt. Without a namespace all are shown;
without arguments -n names one, too, and not that of the installation.

Ends with exit code 3 when a volume is unprotected.`,
		Example: `  # what has to be done, with what helps
  podkeep coverage --unprotected -o wide

  # for two namespaces, in a script
  podkeep coverage shop db -o json

  # alerts on the same, for Prometheus
  podkeep coverage --rules > podkeep.rules.yaml`,
		ValidArgsFunction: s.completeNamespaces(),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.coverage(cmd, flags, args) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&flags.output, "output", "o", outputTable, "table, wide, json or yaml")
	fs.StringVarP(&flags.selector, "selector", "l", "", "only claims, and volumes of pods, whose labels match, for example app=shop")
	fs.BoolVar(&flags.unprotected, "unprotected", false, "only volumes that are not protected")
	fs.BoolVar(&flags.rules, "rules", false, "print alerts on the coverage, as a rule file for Prometheus, and look at nothing")
	fs.StringVar(&flags.installed, "install-namespace", "", "namespace podkeep is installed in, where -n names that of volumes")
	s.completeFlag(cmd, "install-namespace", s.completeNamespaces())
	completeValues(cmd, "output", outputTable, outputWide, outputJSON, outputYAML)
	return cmd
}

// coverageResult is what -o json and -o yaml print.
type coverageResult struct {
	Summary coverage.Summary `json:"summary"`
	Volumes []coverage.Row   `json:"volumes"`

	// NotSeen says what the user may not read, and what that means.
	NotSeen []string `json:"notSeen,omitempty"`
}

func (s *session) coverage(cmd *cobra.Command, flags coverageFlags, namespaces []string) error {
	if flags.rules {
		_, err := cmd.OutOrStdout().Write(monitoring.Rules())
		return err
	}
	if err := checkOutput(flags.output, outputTable, outputWide, outputJSON, outputYAML); err != nil {
		return err
	}
	selector, err := labels.Parse(flags.selector)
	if err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	t, namespaces, err := s.openCoverage(cmd, flags, namespaces)
	if err != nil {
		return err
	}
	seen, err := t.lookAround(cmd.Context(), s.clock.Now(), namespaces)
	if err != nil {
		return err
	}
	result := coverageResult{Volumes: []coverage.Row{}, NotSeen: seen.notSeen}
	for row := range coverage.Rows(seen.facts) {
		if selector.Matches(labels.Set(row.Labels)) {
			result.Volumes = append(result.Volumes, row)
		}
	}
	coverage.Sort(result.Volumes)
	result.Summary = coverage.Summarize(result.Volumes)
	if flags.unprotected {
		result.Volumes = slices.DeleteFunc(result.Volumes, func(r coverage.Row) bool { return r.Verdict != coverage.Unprotected })
	}
	if err := s.printCoverage(cmd, flags.output, result); err != nil {
		return err
	}
	switch {
	case result.Summary.Unprotected > 0:
		return exitError{exitUnprotected}
	case seen.incomplete:
		return exitError{exitFailed}
	default:
		return nil
	}
}

// openCoverage connects to the installation, and returns the namespaces to look at,
// none for all. Without arguments -n is one of these: people expect it of kubectl, and
// an installation is rarely looked for.
func (s *session) openCoverage(cmd *cobra.Command, flags coverageFlags, namespaces []string) (cluster, []string, error) {
	installed := s.namespace
	if flag := cmd.Flags().Lookup("namespace"); len(namespaces) == 0 && flag != nil && flag.Changed {
		namespaces, installed = []string{flag.Value.String()}, s.home
	}
	t := cluster{namespace: flags.installed, program: s.program}
	if t.namespace == "" {
		var err error
		if t.namespace, err = installed(); err != nil {
			return t, nil, err
		}
	}
	var err error
	t.WithWatch, err = s.connect()
	return t, namespaces, err
}

// printCoverage prints the result, and what is missing in it apart from what scripts
// read.
func (s *session) printCoverage(cmd *cobra.Command, output string, result coverageResult) error {
	for _, note := range result.NotSeen {
		if _, err := fmt.Fprintln(cmd.ErrOrStderr(), "not seen:", note); err != nil {
			return err
		}
	}
	if output == outputJSON || output == outputYAML {
		return printValue(cmd.OutOrStdout(), result, output)
	}
	table := describe.CoverageTable
	if output == outputWide {
		table = describe.WideCoverageTable
	}
	text := table(result.Volumes, s.clock.Now())
	if text != "" {
		text += "\n"
	}
	_, err := io.WriteString(cmd.OutOrStdout(), text+result.Summary.String()+"\n")
	return err
}
