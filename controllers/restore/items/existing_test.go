package items

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestSame(t *testing.T) {
	t.Parallel()
	prepared, reason := target.Prepare(configMap("shop", "blue"))
	NewWithT(t).Expect(reason).To(BeEmpty())
	tests := map[string]struct {
		existing *unstructured.Unstructured
		want     bool
	}{
		"what the server sets does not count": {existing: served(configMap("shop-2", "blue")), want: true},
		"another value differs":               {existing: served(configMap("shop-2", "red")), want: false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(target.Same(prepared, tc.existing)).To(Equal(tc.want))
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	prepared, _ := target.Prepare(configMap("shop", "blue"))
	existing := served(configMap("shop-2", "red"))
	before := existing.DeepCopy()

	from, to, ok := target.Update(prepared, existing)

	g.Expect(ok).To(BeTrue())
	g.Expect(from.Object).To(HaveKeyWithValue("data", map[string]any{"color": "red"}))
	g.Expect(to.Object).To(HaveKeyWithValue("data", map[string]any{"color": "blue"}))
	g.Expect(to.GetLabels()).To(Equal(map[string]string{"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly-again"}))
	g.Expect(from.GetResourceVersion()).To(BeEmpty(), "it is no lock")
	g.Expect(existing).To(Equal(before))

	_, _, ok = target.Update(prepared, object("Pod", map[string]any{"status": map[string]any{"phase": "Failed"}}))
	g.Expect(ok).To(BeFalse(), "no restore would make it what it is")
}

func TestSameIgnoresWhichVolumeAClaimIsBoundTo(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	archived := object("PersistentVolumeClaim", map[string]any{"spec": map[string]any{"volumeName": "pvc-1"}})
	prepared, _ := target.Prepare(archived)
	existing := served(object("PersistentVolumeClaim", map[string]any{"spec": map[string]any{"volumeName": "kept"}}))
	existing.SetNamespace("shop-2")

	g.Expect(target.Same(prepared, existing)).To(BeTrue())
}

func TestMergeServiceAccount(t *testing.T) {
	t.Parallel()
	existing := object("ServiceAccount", map[string]any{"imagePullSecrets": refs("a"), "secrets": refs("theirs")})
	tests := map[string]struct {
		restored    *unstructured.Unstructured
		want        map[string]any
		wantChanged bool
	}{
		"nothing is missing": {
			restored: object("ServiceAccount", map[string]any{"imagePullSecrets": refs("a")}),
			want:     map[string]any{"imagePullSecrets": refs("a"), "secrets": refs("theirs")},
		},
		"what is missing is added and nothing is taken away": {
			restored:    object("ServiceAccount", map[string]any{"imagePullSecrets": refs("b"), "secrets": refs("ours")}),
			want:        map[string]any{"imagePullSecrets": refs("a", "b"), "secrets": refs("theirs", "ours")},
			wantChanged: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			before := existing.DeepCopy()
			prepared, _ := Target{}.Prepare(tc.restored)

			got, changed := MergeServiceAccount(existing, prepared)

			g.Expect(changed).To(Equal(tc.wantChanged))
			g.Expect(got).To(Equal(object("ServiceAccount", tc.want)), "the labels of the restore stay out")
			g.Expect(existing).To(Equal(before))
		})
	}
}

func configMap(namespace, color string) *unstructured.Unstructured {
	u := object("ConfigMap", map[string]any{"data": map[string]any{"color": color}})
	u.SetNamespace(namespace)
	return u
}

func object(kind string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	for key, value := range content {
		u.Object[key] = value
	}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetNamespace("shop")
	u.SetName("it")
	return u
}

// served adds what the API server and another restore add.
func served(u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetUID("a-new-one")
	u.SetResourceVersion("77")
	u.SetLabels(map[string]string{"velero.io/restore-name": "another"})
	return u
}

func refs(names ...string) []any {
	var all []any
	for _, n := range names {
		all = append(all, map[string]any{"name": n})
	}
	return all
}
