package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/config/monitoring"
)

var coverageNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// shopForCoverage is a namespace with a volume of each kind, a schedule that takes
// what is asked for, and its backup of last night.
func shopForCoverage() []client.Object {
	week := metav1.NewTime(coverageNow.Add(-7 * 24 * time.Hour))
	claim := func(name string, created metav1.Time, annotations map[string]string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: created, Annotations: annotations,
				Labels: map[string]string{"app": name},
			},
			Spec:   corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name, StorageClassName: ptr.To("fast")},
			Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}
	}
	include := map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "uid-web", CreationTimestamp: week, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, name := range []string{"db", "fresh", "skipped"} {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}})
	for _, v := range pod.Spec.Volumes {
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		claim("db", week, include), claim("fresh", metav1.NewTime(coverageNow.Add(-time.Hour)), include),
		claim("skipped", week, map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimExclude}), claim("unused", week, nil), pod,
		&velerov1.Schedule{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly", CreationTimestamp: week},
			Spec:       velerov1.ScheduleSpec{Schedule: "0 3 * * *", Template: velerov1.BackupSpec{IncludedNamespaces: []string{"shop"}}},
			Status:     velerov1.ScheduleStatus{LastBackup: ptr.To(metav1.NewTime(coverageNow.Add(-9 * time.Hour)))},
		},
		&velerov1.Backup{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "velero", Name: "nightly-20261122030000", UID: "b-1", Labels: map[string]string{velerov1.ScheduleNameLabel: "nightly"},
			},
			Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, StartTimestamp: ptr.To(metav1.NewTime(coverageNow.Add(-9 * time.Hour)))},
		},
		&velerov1.PodVolumeBackup{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "velero", Name: "nightly-1", Labels: map[string]string{velerov1.BackupUIDLabel: "b-1", velerov1.PVCUIDLabel: "uid-db"},
			},
			Status: velerov1.PodVolumeBackupStatus{
				Phase: velerov1.PodVolumeBackupPhaseCompleted, Progress: velerov1.DataMoveOperationProgress{TotalBytes: 3 << 20},
			},
		},
	}
}

// coverageAt runs the client at noon.
func coverageAt(t *testing.T, c client.WithWatch, args ...string) output {
	t.Helper()
	s := newSession(c)
	s.clock = localTime{clock.RealClock{}, coverageNow}
	return s.run(t.Context(), append([]string{"coverage"}, args...)...)
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args   []string
		golden string
		code   int
	}{
		"all":                       {nil, "coverage.txt", exitUnprotected},
		"all that is known":         {[]string{"shop", "-o", "wide"}, "coverage-wide.txt", exitUnprotected},
		"only what is to be done":   {[]string{"--unprotected"}, "coverage-unprotected.txt", exitUnprotected},
		"for scripts":               {[]string{"-o", "json", "--unprotected"}, "coverage.json", exitUnprotected},
		"by labels, as yaml":        {[]string{"-l", "app=db", "-o", "yaml"}, "coverage.yaml", exitOK},
		"pending and excluded ones": {[]string{"-l", "app in (fresh,skipped,web)"}, "coverage-fine.txt", exitOK},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := coverageAt(t, apiWith(t, noFuncs, shopForCoverage()...), tc.args...)

			g.Expect(got.err).To(BeEmpty())
			g.Expect(got.code).To(Equal(tc.code))
			expectGolden(t, tc.golden, got.out)
		})
	}
}

func TestCoverageOfANamespaceThatDoesNotExist(t *testing.T) {
	t.Parallel()

	got := coverageAt(t, apiWith(t, noFuncs, shopForCoverage()...), "shap")

	NewWithT(t).Expect(got).To(Equal(output{
		err: "podkeep: namespace \"shap\" does not exist; list namespaces with: kubectl get namespaces\n", code: exitFailed,
	}))
}

// forbidding refuses lists of kinds, as an API server does.
func forbidding(kinds ...string) interceptor.Funcs {
	return interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			gvk, err := c.GroupVersionKindFor(list)
			if err != nil {
				return err
			}
			for _, kind := range kinds {
				if gvk.Kind == kind+"List" {
					return apierrors.NewForbidden(corev1.Resource(strings.ToLower(kind)+"s"), "", errors.New("no"))
				}
			}
			return c.List(ctx, list, opts...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			gvk, err := c.GroupVersionKindFor(obj)
			if err != nil {
				return err
			}
			for _, kind := range kinds {
				if gvk.Kind == kind {
					return apierrors.NewForbidden(corev1.Resource(strings.ToLower(kind)+"s"), key.Name, errors.New("no"))
				}
			}
			return c.Get(ctx, key, obj, opts...)
		},
	}
}

func TestCoverageSaysWhatItMayNotSee(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		forbidden []string
		args      []string
		wantErr   string
		wantCode  int
	}{
		"what matters little is a remark": {
			forbidden: []string{"PersistentVolume", "Namespace", "Deployment"},
			wantErr: "not seen: deployment velero: the server is taken to run without --default-volumes-to-fs-backup\n" +
				"not seen: namespaces: their labels are not applied\n" +
				"not seen: persistentvolumes: directories of nodes behind claims look like other volumes, and policies do not see capacities, classes and drivers\n",
			wantCode: exitUnprotected,
		},
		"without pods nothing can be said of volumes, and that is no all-clear": {
			forbidden: []string{"Pod"},
			wantErr:   "not seen: pods and persistentvolumeclaims of all namespaces (name those that you may read): not all volumes are shown\n",
			wantCode:  exitFailed,
		},
		"a namespace that is named": {
			forbidden: []string{"PersistentVolumeClaim", "Namespace"}, args: []string{"shop"},
			wantErr: "not seen: namespace shop: their labels are not applied\n" +
				"not seen: pods and persistentvolumeclaims of namespace shop: not all volumes are shown\n",
			wantCode: exitFailed,
		},
		"without podkeep's own objects there is no coverage": {
			forbidden: []string{"Schedule"},
			wantErr:   "podkeep: schedules is forbidden: no; see what you may do with: kubectl auth can-i --list -n velero\n", wantCode: exitFailed,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := coverageAt(t, apiWith(t, forbidding(tc.forbidden...), shopForCoverage()...), tc.args...)

			g.Expect(got.err).To(Equal(tc.wantErr))
			g.Expect(got.code).To(Equal(tc.wantCode))
		})
	}

	t.Run("and in JSON", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)

		got := coverageAt(t, apiWith(t, forbidding("Pod"), shopForCoverage()...), "-o", "json")

		var result coverageResult
		g.Expect(json.Unmarshal([]byte(got.out), &result)).To(Succeed())
		g.Expect(result.NotSeen).To(ConsistOf(ContainSubstring("not all volumes are shown")))
		g.Expect(result.Volumes).NotTo(BeNil())
	})
}

func TestCoverageReadsTheServersDefault(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	d := server("velero")
	d.Spec.Template.Spec.Containers[0].Args = []string{"server", "--default-volumes-to-fs-backup=true"}

	got := coverageAt(t, apiWith(t, noFuncs, append(shopForCoverage(), d)...), "-l", "app=web")

	g.Expect(got.out).To(MatchRegexp(`pod/web/cache +emptyDir +Unprotected +NeverBackedUp`), "the default takes scratch data, too")
}

// TestCoverageOfTheNamespaceOfAFlag has -n name what to look at, unless arguments do.
func TestCoverageOfTheNamespaceOfAFlag(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args          []string
		wantInstalled string
		wantLookAt    []string
	}{
		"nothing is named":                 {nil, "configured", nil},
		"-n alone":                         {[]string{"-n", "shop"}, "configured", []string{"shop"}},
		"-n beside arguments":              {[]string{"-n", "backups", "shop", "db"}, "backups", []string{"shop", "db"}},
		"-n beside --install-namespace":    {[]string{"-n", "shop", "--install-namespace", "backups"}, "backups", []string{"shop"}},
		"--install-namespace and no other": {[]string{"--install-namespace", "backups"}, "backups", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := newSession(nil)
			s.home = func() (string, error) { return "configured", nil }
			flags := coverageFlags{}
			cmd := &cobra.Command{RunE: func(cmd *cobra.Command, args []string) error {
				of := cmd.Flags().Lookup("namespace").Value.String()
				s.namespace = func() (string, error) { return cmp.Or(of, "configured"), nil }
				got, lookAt, err := s.openCoverage(cmd, flags, args)
				g.Expect(got.namespace).To(Equal(tc.wantInstalled))
				g.Expect(lookAt).To(HaveExactElements(tc.wantLookAt))
				return err
			}}
			cmd.Flags().StringP("namespace", "n", "", "")
			cmd.Flags().StringVar(&flags.installed, "install-namespace", "", "")
			cmd.SetArgs(tc.args)

			g.Expect(cmd.ExecuteContext(t.Context())).To(Succeed())
		})
	}
}

func TestCoverageListsEachKindOnce(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	lists := map[string]int{}
	counting := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		gvk, err := c.GroupVersionKindFor(list)
		if err != nil {
			return err
		}
		lists[gvk.Kind]++
		return c.List(ctx, list, opts...)
	}}

	coverageAt(t, apiWith(t, counting, shopForCoverage()...))

	g.Expect(lists).To(HaveLen(7))
	for kind, n := range lists {
		g.Expect(n).To(Equal(1), kind)
	}
}

func TestCoveragePrintsRules(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := coverageAt(t, nil, "--rules")

	g.Expect(got.out).To(Equal(string(monitoring.Rules())))
	g.Expect(yaml.Unmarshal([]byte(got.out), &map[string]any{})).To(Succeed())
}

func TestMonitoringNeedsTheOperator(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	without, with := meta.NewDefaultRESTMapper(nil), meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{monitoring.KindRule, monitoring.KindPodMonitor} {
		with.Add(monitoring.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	wanted := install.Options{Monitoring: &install.Monitoring{}}

	g.Expect(checkMonitoring(install.Options{}, without)).To(Succeed())
	g.Expect(checkMonitoring(wanted, with)).To(Succeed())
	g.Expect(checkMonitoring(wanted, without)).To(MatchError(And(
		ContainSubstring("no kind PrometheusRule of monitoring.coreos.com/v1"), ContainSubstring("podkeep coverage --rules"))))
}
