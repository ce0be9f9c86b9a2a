"""The words that the sandbox's companies and people are made of."""

FIRST = (
    "Alder Amber Anker Aster Atlas Auriga Bergwald Birke Borea Brandt Calla Castor Cedro Cobalt Cordis Delphin Dorado Eibsee "
    "Elbe Ember Fenwick Ferro Fjord Forte Garda Gneis Granit Halden Hansa Harrow Helio Isar Ivory Juniper Kestrel Kiefer "
    "Kobold Lagan Larch Linden Lumen Lyra Marin Merlin Mistral Nadir Nordlicht Novum Ocker Orion Osprey Pallas Pinea Quarz "
    "Rhone Roble Rowan Sable Saffron Sierra Silva Solan Sperber Tamar Tessin Thorne Trave Ulmen Umbra Valois Vega Verdon "
    "Vesper Wendel Wicklow Xanten Ystad Zeder Zephyr Zinnia Müller Söhne Étoile Peña Łódka Ågren"
).split()
TRADE = (
    "Logistik Maschinenbau Pharma Textil Foods Energy Optics Robotics Papier Glas Software Media Chemie Medizintechnik "
    "Hydraulik Packaging Shipping Brewing Ceramics Solar Sensors Tools Furniture Printing Analytics Metall Automation "
    "Components Dental Aqua Timber Freight Plastics Instruments Lighting Bikes Coffee Steel Fabrics Seeds Batteries"
).split()
PEOPLE = (
    "Anna Bruno Carla David Elena Felix Greta Hugo Ida Jonas Karin Luca Maria Nils Olga Paul Rosa Samuel Tina Viktor Yara Zoe"
).split()
FAMILY = (
    "Albrecht Bianchi Carter Dubois Eklund Fischer Garcia Hoffmann Ivanova Jensen Keller Laurent Meier Novak Okafor Petit "
    "Rossi Schmidt Taylor Urban Vogel Weber Young Zimmer"
).split()
TITLES = ("CEO", "CFO", "Head of Purchasing", "VP Operations", "Buyer", "IT Director", "Office Manager", "Plant Manager")
INDUSTRIES = ("MANUFACTURING", "LOGISTICS", "PHARMACEUTICALS", "TEXTILES", "FOOD_BEVERAGES", "RENEWABLES", "SOFTWARE", "RETAIL")
# country: name, dialling code, currency, towns with the first digits of their postcodes, legal forms as CRM and as ERP write them
COUNTRIES = {
    "DE": ("Germany", "+49", "EUR", (("Berlin", "10"), ("München", "80"), ("Köln", "50")), (("GmbH", "Gesellschaft mbH"), ("AG", "AG"))),
    "AT": ("Austria", "+43", "EUR", (("Wien", "10"), ("Graz", "80")), (("GmbH", "Ges.m.b.H."),)),
    "FR": ("France", "+33", "EUR", (("Paris", "75"), ("Lyon", "69")), (("SAS", "S.A.S."), ("SARL", "S.A.R.L."))),
    "IT": ("Italy", "+39", "EUR", (("Milano", "20"), ("Torino", "10")), (("S.p.A.", "SpA"), ("S.r.l.", "SRL"))),
    "ES": ("Spain", "+34", "EUR", (("Madrid", "28"), ("Valencia", "46")), (("S.L.", "SL"),)),
    "GB": ("United Kingdom", "+44", "GBP", (("London", "EC"), ("Leeds", "LS")), (("Ltd", "Limited"), ("plc", "PLC"))),
    "US": ("United States", "+1", "USD", (("Boston", "02"), ("Denver", "80")), (("Inc.", "Incorporated"), ("LLC", "L.L.C."))),
}
REGIONS = {"DE": "Central", "AT": "Central", "FR": "West", "ES": "South", "IT": "South", "GB": "West", "US": "Americas"}
FREE_MAIL = ("gmail.com", "gmx.de", "outlook.com", "yahoo.com")
GOOD_WORDS = ("Quick and friendly.", "Solved at once, thank you.", "Very helpful.", "")
BAD_WORDS = ("Took far too long.", "Still not working.", "Nobody called back.", "")
SUBJECTS = ("Delivery is late", "Invoice differs from order", "Part does not fit", "Login fails", "Question on terms", "Damaged goods")
