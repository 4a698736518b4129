package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// serverFlagsOf parses arguments of the server as cobra does.
func serverFlagsOf(t *testing.T, args ...string) (*serverFlags, error) {
	t.Helper()
	cmd := newServerCommand(noEnv)
	flags := &serverFlags{}
	cmd.ResetFlags()
	flags.bind(cmd, noEnv)
	return flags, cmd.ParseFlags(args)
}

// TestEveryServerFlagOfVelero has the flags of velero-facts §8.4: what an
// installation of Velero passes must not keep podkeep's server from starting.
func TestEveryServerFlagOfVelero(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{
		"--log-level=info", "--log-format=text", "--plugin-dir=/plugins", "--metrics-address=:8085", "--backup-sync-period=1m", "--fs-backup-timeout=4h",
		"--restore-only", "--disable-controllers=gc,backup-queue", "--restore-resource-priorities=namespaces,pods", "--default-backup-storage-location=default",
		"--store-validation-frequency=1m", "--client-qps=100", "--client-burst=100", "--client-page-size=500", "--profiler-address=localhost:6060",
		"--terminating-resource-timeout=10m", "--default-backup-ttl=720h", "--volume-group-snapshot-label-key=velero.io/volume-group",
		"--default-repo-maintain-frequency=1h", "--garbage-collection-frequency=1h", "--item-operation-sync-frequency=10s", "--default-volumes-to-fs-backup",
		"--uploader-type=kopia", "--default-item-operation-timeout=4h", "--resource-timeout=10m", "--max-concurrent-k8s-connections=30",
		"--default-snapshot-move-data", "--disable-informer-cache", "--schedule-skip-immediately", "--default-volume-snapshot-locations=aws:x",
		"--backup-repository-configmap=x", "--repo-maintenance-job-configmap=x", "--item-block-worker-count=1", "--concurrent-backups=1",
		"--keep-latest-maintenance-jobs=3", "--maintenance-job-cpu-request=1", "--maintenance-job-mem-request=1", "--maintenance-job-cpu-limit=1",
		"--maintenance-job-mem-limit=1",
	} {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			flags, err := serverFlagsOf(t, arg)

			g.Expect(err).NotTo(HaveOccurred())
			_, err = flags.veleroFlags.check()
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func TestServerFlagsOfVelero(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args     []string
		notes    []string
		disabled []string
		err      string
	}{
		"none": {},
		"an ignored flag is told": {
			args: []string{"--plugin-dir=/plugins"}, notes: []string{"--plugin-dir is ignored: podkeep has no plugins"},
		},
		"an ignored switch, too": {
			args:  []string{"--disable-informer-cache"},
			notes: []string{"--disable-informer-cache is ignored: restores read what exists from the API server, without a cache"},
		},
		"controllers are left out":                  {args: []string{"--disable-controllers=gc,schedule"}, disabled: []string{"gc", "schedule"}},
		"those that are part of another say so":     {args: []string{"--disable-controllers=backup-queue"}, notes: []string{"--disable-controllers=backup-queue: the queue belongs to the controller backup"}},
		"those that do not exist are an error":      {args: []string{"--disable-controllers=gcc"}, err: `--disable-controllers: Unsupported value: "gcc": supported values: backup, `},
		"restore only is a list of controllers":     {args: []string{"--restore-only"}, disabled: []string{"backup", "backup-deletion", "gc", "schedule"}, notes: []string{"--restore-only: use " + restoreOnlyReplacedWith}},
		"another uploader is an error":              {args: []string{"--uploader-type=restic"}, err: `--uploader-type: Unsupported value: "restic": supported values: kopia`},
		"pages cannot be switched off":              {args: []string{"--client-page-size=0"}, notes: []string{"--client-page-size=0: lists always have pages, which bounds memory; they have 500 items"}},
		"pages of less than nothing are an error":   {args: []string{"--client-page-size=-1"}, err: "--client-page-size: Invalid value: -1: must not be negative"},
		"a flag that nobody knows is cobra's error": {args: []string{"--plugin-dirs=/plugins"}, err: "unknown flag: --plugin-dirs"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			flags, err := serverFlagsOf(t, tc.args...)
			var notes []string
			if err == nil {
				notes, err = flags.veleroFlags.check()
			}
			if tc.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(notes).To(Equal(tc.notes))
			var left []string
			for _, name := range controllersOfServer() {
				ran := false
				g.Expect(flags.setUp(nil, name, func(manager.Manager) error { ran = true; return nil })).To(Succeed())
				if !ran {
					left = append(left, name)
				}
			}
			g.Expect(left).To(ConsistOf(tc.disabled))
		})
	}
}

func TestLimitsOfRequestsAreChecked(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"--client-qps=0":     "--client-qps, --client-burst: Invalid values: 0, 1000: must be above 0",
		"--client-burst=0":   "--client-qps, --client-burst: Invalid values: 200, 0: must be above 0",
		"--log-format=plain": `--log-format: Unsupported value: "plain": supported values: json, text`,
	} {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			flags, err := serverFlagsOf(t, "--install-namespace=velero", arg)
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(flags.validate()).To(MatchError(want))
		})
	}
}

func TestVerbsThatPodkeepDoesNotHave(t *testing.T) {
	t.Parallel()
	for words, next := range map[string]string{
		"plugin add velero/velero-plugin-for-aws:v1 --image-pull-policy Always": "podkeep plugin get",
		"plugin remove velero/velero-plugin-for-aws:v1":                         "podkeep plugin get",
		"bug": "podkeep debug",
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var errOut strings.Builder
			root := newRootCommand(noEnv, programName)
			root.SetErr(&errOut)

			code := run(t.Context(), root, strings.Fields(words))

			g.Expect(code).To(Equal(exitFailed))
			g.Expect(errOut.String()).To(And(HavePrefix("podkeep: "), ContainSubstring(next)))
		})
	}
}
