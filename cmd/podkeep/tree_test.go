package main

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func noEnv(string) string { return "" }

// find is the command of a line of words.
func find(t *testing.T, root *cobra.Command, words string) *cobra.Command {
	t.Helper()
	cmd, rest, err := root.Find(strings.Fields(words))
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), words)
	NewWithT(t).Expect(rest).To(BeEmpty(), words)
	return cmd
}

// TestEveryFlagOfVelero compares with a list of the flags of Velero 1.18's client:
// command, flag, short form, type, default.
func TestEveryFlagOfVelero(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/velero-flags.tsv")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	root := newRootCommand(noEnv, programName)
	for line := range strings.Lines(string(data)) {
		t.Run(strings.TrimSpace(line), func(t *testing.T) {
			g := NewWithT(t)
			want := strings.Split(strings.TrimSpace(line), "\t")

			flag := find(t, root, want[0]).Flags().Lookup(want[1])

			g.Expect(flag).NotTo(BeNil())
			g.Expect(shown(flag.Shorthand)).To(Equal(want[2]))
			kind, _ := pflag.UnquoteUsage(flag)
			g.Expect(shown(kind)).To(Equal(want[3]))
			if want[4] != "-" {
				g.Expect(flag.DefValue).To(Equal(want[4]))
			}
		})
	}
}

func shown(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func TestEveryVerbBothWays(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	root := newRootCommand(noEnv, programName)
	for _, v := range verbs() {
		for _, a := range v.of {
			for _, noun := range append([]string{a.kind.verb}, a.kind.aliases...) {
				first := find(t, root, noun+" "+v.name)
				g.Expect(first.Short).NotTo(BeEmpty())
				if v.short == "" {
					continue
				}
				g.Expect(find(t, root, v.name+" "+noun).Short).To(Equal(first.Short))
			}
		}
	}
}

func TestFlagsOfKubernetesAreAccepted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	root := newRootCommand(noEnv, programName)

	err := root.ParseFlags([]string{"-v", "6", "--logtostderr", "--features=EnableCSI", "--colorized", "false", "--kubecontext", "x"})

	g.Expect(err).NotTo(HaveOccurred())
}

func TestProgramIsNamedAsItIsCalled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		argv    []string
		program string
		args    []string
	}{
		"the client":              {[]string{"/usr/bin/podkeep", "get"}, "podkeep", []string{"get"}},
		"a plugin of kubectl":     {[]string{"kubectl-podkeep", "get"}, "kubectl podkeep", []string{"get"}},
		"a plugin on Windows":     {[]string{"kubectl-podkeep.exe"}, "kubectl podkeep", []string{}},
		"the plugin's completion": {[]string{"./kubectl_complete-podkeep", "backup", ""}, "kubectl podkeep", []string{"__complete", "backup", ""}},
		"a file of another name":  {[]string{"/entrypoint", "server"}, "podkeep", []string{"server"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			program, args := calledAs(tc.argv)

			g.Expect(program).To(Equal(tc.program))
			g.Expect(args).To(Equal(tc.args))
		})
	}
}

func TestTextsOfThePlugin(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	root := newRootCommand(noEnv, pluginName)
	var help strings.Builder
	root.SetOut(&help)

	g.Expect(run(t.Context(), root, []string{"backup", "create", "--help"})).To(Equal(exitOK))

	g.Expect(help.String()).To(ContainSubstring("\n  kubectl podkeep backup create shop-1 "))
	g.Expect(help.String()).To(ContainSubstring("Usage:\n  kubectl podkeep backup create [NAME] [flags]\n"))
	s := newSession(apiWith(t, noFuncs))
	s.program = pluginName
	g.Expect(s.run(t.Context(), "backup", "get", "x").err).To(HaveSuffix("list backups with: kubectl podkeep backup get\n"))
	completion := s.run(t.Context(), "completion", "bash")
	g.Expect(completion.code).To(Equal(exitFailed))
	g.Expect(completion.err).To(ContainSubstring("ln -s kubectl-podkeep"))
}
