package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/coverage"
	volumes "github.com/podkeep/podkeep/internal/coverage"
	"github.com/podkeep/podkeep/tests/suite"
)

// coverageReport is what podkeep coverage -o json prints.
type coverageReport struct {
	Summary volumes.Summary
	Volumes []volumes.Row
}

// coverageOf runs podkeep coverage for a namespace and returns its rows by claim or
// volume, and the exit code.
func coverageOf(t *testing.T, c *suite.Cluster, ns string) (rows map[string]volumes.Row, code int) {
	t.Helper()
	g := NewWithT(t)
	out, err := c.Podkeep(suite.Namespace, "coverage", ns, "-o", "json")
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		g.Expect(err).NotTo(HaveOccurred(), out)
	}
	var report coverageReport
	g.Expect(json.Unmarshal([]byte(out), &report)).To(Succeed(), out)
	rows = map[string]volumes.Row{}
	for _, r := range report.Volumes {
		key := r.Claim
		if key == "" {
			key = r.Volume
		}
		rows[key] = r
	}
	g.Expect(rows).To(HaveLen(report.Summary.Volumes), out)
	return rows, code
}

// verdict is what a row comes down to.
func verdict(r volumes.Row) string { return fmt.Sprintf("%s/%s/%s", r.Verdict, r.Reason, r.By) }

// serverMetrics is what a Prometheus would scrape from the server.
func serverMetrics(t *testing.T, c *suite.Cluster) string {
	t.Helper()
	g := NewWithT(t)
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(suite.Namespace), client.MatchingLabels{"deploy": "velero"})).To(Succeed())
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil || p.Status.PodIP == "" {
			continue
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Status.PodIP+":8085/metrics", nil)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // the pod that a rollout has just replaced
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		if strings.Contains(string(text), coverage.MetricEvaluated) {
			return string(text)
		}
	}
	return ""
}

// withClaim has an application use a claim of its own, which file system backup is
// asked to take or to leave.
func withClaim(ns, name, wish string) (*corev1.PersistentVolumeClaim, *corev1.Pod) {
	template := suite.StatefulSet(ns, name).Spec.VolumeClaimTemplates[0]
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{}},
		Spec:       template.Spec,
	}
	if wish != "" {
		claim.Annotations[velerov1.ClaimFSBackupAnnotation] = wish
	}
	p := suite.Pod(ns, name)
	p.Annotations = nil
	p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}
	return claim, p
}

func TestCoverageOfANamespace(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "coverage")
	data, app := withClaim(ns, "data", velerov1.ClaimInclude)
	skipped, other := withClaim(ns, "skipped", velerov1.ClaimExclude)
	unused, user := withClaim(ns, "unused", "")
	app.Spec.Volumes = append(app.Spec.Volumes,
		corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv", Type: ptr.To(corev1.HostPathDirectory)}}},
		corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	app.Spec.Containers[0].VolumeMounts = append(app.Spec.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: "node", MountPath: "/node", ReadOnly: true}, corev1.VolumeMount{Name: "cache", MountPath: "/cache"})
	c.Apply(t, data, skipped, unused, app, other, user)
	for _, name := range []string{"data", "skipped", "unused"} {
		c.RunningPods(t, ns, name, 1)
	}
	rows, code := coverageOf(t, c, ns)
	g.Expect(code).To(Equal(3))
	g.Expect(verdict(rows["data"])).To(Equal("Unprotected/NoSchedule/"), "asked for, and nobody comes")
	g.Expect(verdict(rows["unused"])).To(Equal("Unprotected/NoSchedule/"))

	c.Remove(t, user)
	g.Eventually(func() error { return c.Client.Get(t.Context(), client.ObjectKeyFromObject(user), user) }, suite.Short, "200ms").ShouldNot(Succeed())
	s := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns},
		Spec:       velerov1.ScheduleSpec{Schedule: "@every 24h", Template: velerov1.BackupSpec{IncludedNamespaces: []string{ns}}},
	}
	c.Apply(t, s)
	t.Cleanup(func() { removeSchedule(t, c, s) })
	rows, _ = coverageOf(t, c, ns)
	g.Expect(verdict(rows["data"])).To(Equal("Pending/FirstBackupDue/"))
	g.Expect(rows["data"].NextRun).NotTo(BeNil())

	out, err := c.Podkeep(suite.Namespace, "backup", "create", "--from-schedule", ns, "--wait")
	g.Expect(err).NotTo(HaveOccurred(), out)
	fresh, newer := withClaim(ns, "fresh", velerov1.ClaimInclude)
	c.Apply(t, fresh, newer)
	c.RunningPods(t, ns, "fresh", 1)

	rows, code = coverageOf(t, c, ns)
	g.Expect(code).To(Equal(3), "because of the claim that no pod mounts")
	for volume, want := range map[string]string{
		"data": "Protected/FileSystemBackup/", "skipped": "Excluded/ExcludedByClaim/claim", "unused": "Unprotected/ClaimNotMounted/",
		"fresh": "Pending/FirstBackupDue/", "node": "Excluded/NodeDirectory/default", "cache": "Excluded/EphemeralVolume/default",
	} {
		g.Expect(verdict(rows[volume])).To(Equal(want), volume)
	}
	g.Expect(rows).To(HaveLen(6))
	g.Expect(rows["data"].LastSuccess.Backup).To(HavePrefix(ns + "-2"))
	g.Expect(rows["data"].LastSuccess.Schedule).To(Equal(ns))
	g.Expect(rows["data"].LastAttempt.Result).To(Equal(volumes.Completed))

	t.Run("a directory of the node that somebody asks for is unprotected", func(t *testing.T) {
		g := NewWithT(t)
		annotation := []byte(`{"metadata":{"annotations":{"` + velerov1.VolumesToBackupAnnotation + `":"node"}}}`)
		g.Expect(c.Client.Patch(t.Context(), app, client.RawPatch("application/merge-patch+json", annotation))).To(Succeed())
		rows, _ := coverageOf(t, c, ns)
		g.Expect(verdict(rows["node"])).To(Equal("Unprotected/HostPathUnsupported/"))
	})
	t.Run("as a table, for the namespace of -n", func(t *testing.T) {
		out, _ := c.Podkeep(ns, "coverage")
		NewWithT(t).Expect(out).To(And(
			MatchRegexp(`claim/data +persistentVolumeClaim +Protected +FileSystemBackup +`+ns+`-2`), ContainSubstring("6 volumes: 1 protected")))
	})
	t.Run("when nothing is unprotected the exit code says so", func(t *testing.T) {
		out, err := c.Podkeep(suite.Namespace, "coverage", ns, "-l", "app=nothing")
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	})
	t.Run("the server has the same as metrics", func(t *testing.T) {
		g := NewWithT(t)
		g.Eventually(func() string { return serverMetrics(t, c) }, "90s", "1s").Should(And(
			ContainSubstring(`podkeep_coverage_volumes{namespace="`+ns+`",reason="FileSystemBackup",verdict="Protected"} 1`),
			ContainSubstring(`podkeep_coverage_volumes{namespace="`+ns+`",reason="ClaimNotMounted",verdict="Unprotected"} 1`),
			ContainSubstring(`podkeep_coverage_volumes{namespace="`+ns+`",reason="FirstBackupDue",verdict="Pending"} 1`),
			ContainSubstring(`podkeep_coverage_oldest_backup_timestamp_seconds{namespace="`+ns+`"}`),
		))
	})
}
